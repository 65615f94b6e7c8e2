"""Whether this process exports what it tells of itself, decided once, when it starts."""

import os


def is_exporting() -> bool:
    """Whether there is somebody to export to."""
    return bool(os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"))


def start_telemetry(service: str) -> None:
    """Export this process's spans and metrics as those of a service, if somebody takes them."""
    if is_exporting():
        # The SDK costs every process a quarter of a second and some memory; most have no use of it.
        from shared.telemetry.export import start_export  # noqa: PLC0415

        start_export(service)


def stop_telemetry() -> None:
    """Send what is left to send, before a process that may be ended by a signal ends."""
    if is_exporting():
        from shared.telemetry.export import stop_export  # noqa: PLC0415

        stop_export()
