"""What may go wrong with the local stack; every text says what to do about it."""


class StackError(Exception):
    """A part of the local stack could not be started, or does not answer."""


class ProcessEndedError(StackError):
    """A process ended instead of becoming ready."""


class MySQLServerMissingError(StackError):
    """This machine has no usable MySQL server, and none could be fetched."""


class EmulatorMissingError(StackError):
    """An emulator, or the Java that it runs on, is not installed."""
