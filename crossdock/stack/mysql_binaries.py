"""Finds the MySQL server program, or fetches it once into the user's cache.

In this order: a `mysqld` on this machine, the copy of an earlier run, the distribution's own
package (see `mysql_debian.py`). Nothing is installed into the system. Run as a module, it is the
part of `make setup` that makes sure that a server is at hand.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from crossdock.stack import mysql_debian, processes
from crossdock.stack.errors import MySQLServerMissingError, StackError

OLDEST_VERSION = (8, 4)
# Servers stand outside the search path of ordinary users.
SERVER_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/local/mysql/bin", "/opt/homebrew/bin")
HOW_TO_GET_ONE = (
    "Install MySQL 8.4 or later (Debian unstable, Ubuntu 25.04 or later: apt-get install "
    "mysql-server; macOS: brew install mysql), or name a running server: "
    "CROSSDOCK_MYSQL_URL=mysql://user:password@host:3306/crossdock"
)

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class MySQLServerProgram:
    """A MySQL server that can be run here.

    Attributes:
        command: the program, with the loader in front of it for an unpacked copy.
        version: as it tells it, for example "9.7.4".
        place_options: the options without which an unpacked copy does not find its own files.
    """

    command: tuple[str, ...]
    version: str
    place_options: tuple[str, ...] = ()


def find(progress: Progress) -> MySQLServerProgram | None:
    """The server that this machine already has: installed, or in the cache.

    Args:
        progress: told of a server that was found and is of no use.
    """
    search_path = os.pathsep.join((os.environ.get("PATH", ""), *SERVER_FOLDERS))
    installed = shutil.which("mysqld", path=search_path)
    if installed is not None:
        shown = _version_line((installed,))
        refusal = why_unusable(shown)
        if refusal is None:
            return MySQLServerProgram((installed,), version_of(shown))
        progress(f"MySQL: {installed} is not used: {refusal}")
    return _newest_cached()


def find_or_fetch(progress: Progress) -> MySQLServerProgram:
    """The server of this machine; fetched into the cache if there is none yet.

    Args:
        progress: told what is being done, one line at a time.

    Raises:
        MySQLServerMissingError: there is none and none could be fetched.
    """
    found = find(progress)
    if found is not None:
        return found
    with processes.locked(cache_folder() / "mysql.lock"):
        # Another process may have fetched it while this one waited.
        found = _newest_cached()
        if found is not None:
            return found
        try:
            mysql_debian.fetch(cache_folder(), progress)
        except StackError as error:
            raise MySQLServerMissingError(f"No MySQL server: {error}\n{HOW_TO_GET_ONE}") from error
        found = _newest_cached()
    if found is None:
        raise MySQLServerMissingError(f"The fetched MySQL server does not run. {HOW_TO_GET_ONE}")
    return found


def cache_folder() -> Path:
    """Where fetched servers are kept, one folder a version."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "crossdock"


def why_unusable(shown: str | None) -> str | None:
    """What speaks against a server, judged by what `mysqld --version` prints; None if nothing.

    Args:
        shown: the line, or None if the program did not run.
    """
    if shown is None:
        return "it does not run"
    if "mariadb" in shown.lower():
        return "it is MariaDB, which is another server"
    version = version_of(shown)
    numbers = tuple(int(part) for part in version.split(".")[:2] if part)
    if numbers < OLDEST_VERSION:
        return f"its version is {version or 'unknown'}, and 8.4 is the oldest that serves"
    return None


def version_of(shown: str | None) -> str:
    """The version in what `mysqld --version` prints, or "" if there is none."""
    found = re.search(r"\bVer (\d+\.\d+\.\d+)", shown or "")
    return found.group(1) if found else ""


def _version_line(command: tuple[str, ...]) -> str | None:
    try:
        shown = subprocess.run(  # noqa: S603 - a program found on this machine
            [*command, "--no-defaults", "--version"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return shown.stdout.strip()


def _newest_cached() -> MySQLServerProgram | None:
    folders = sorted(cache_folder().glob("mysql-[0-9]*"), key=_version_key, reverse=True)
    for folder in folders:
        program = _unpacked(folder)
        if program is not None:
            return program
    return None


def _version_key(folder: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", folder.name))


def _unpacked(folder: Path) -> MySQLServerProgram | None:
    """The server in an unpacked copy, run by the copy's own loader with its own libraries."""
    loader = next(folder.glob("usr/lib/*/ld-linux*.so.*"), None)
    server = folder / "usr/sbin/mysqld"
    if loader is None or not server.exists():
        return None
    command = (str(loader), "--library-path", str(loader.parent), str(server))
    shown = _version_line(command)
    if why_unusable(shown) is not None:
        return None
    places = (
        f"--basedir={folder / 'usr'}",
        f"--lc-messages-dir={folder / 'usr/share/mysql'}",
        f"--character-sets-dir={folder / 'usr/share/mysql/charsets'}",
        f"--plugin-dir={folder / 'usr/lib/mysql/plugin'}",
    )
    return MySQLServerProgram(command, version_of(shown), places)


def main() -> int:
    """Make sure that a server is at hand, and say which."""

    def progress(line: str) -> None:
        sys.stderr.write(f"setup: {line}\n")

    try:
        program = find_or_fetch(progress)
    except MySQLServerMissingError as error:
        sys.stderr.write(f"setup: {error}\n")
        return 5
    progress(f"MySQL {program.version}: {program.command[-1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
