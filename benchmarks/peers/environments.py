"""A virtual environment for each peer, with exactly the packages of its lock file."""

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.progress import say

ROOT: Final = Path(__file__).resolve().parents[2]
ENVIRONMENTS: Final = ROOT / ".peers-venv"
INSTALL_SECONDS: Final = 900


class NotInstalledError(Exception):
    """A peer's packages could not be installed; the text holds pip's last line."""


def lock_file(peer: str) -> Path:
    """Where a peer's packages are pinned, each with its hashes."""
    return Path(__file__).with_name(f"requirements-{peer}.txt")


def locked_version(peer: str, package: str) -> str:
    """The version of a package in a peer's lock file."""
    found = re.search(rf"^{package}==(\S+)", lock_file(peer).read_text("utf-8"), re.MULTILINE)
    assert found is not None, f"{package} is not in the lock file of {peer}"
    return found[1]


def folder_of(peer: str) -> Path:
    """Where a peer's environment is."""
    return ENVIRONMENTS / peer


def ensure(peer: str) -> None:
    """Make a peer's environment, if it is not there or not of this lock file.

    Raises:
        NotInstalledError: pip refused.
    """
    folder = folder_of(peer)
    done = folder / "setup-done"
    wanted = hashlib.sha256(lock_file(peer).read_bytes()).hexdigest()
    if done.is_file() and done.read_text("ascii") == wanted:
        return
    say(f"{peer}: installing the packages of its lock file")
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    options = ("--quiet", "--disable-pip-version-check", "--require-hashes", "--only-binary=:all:")
    installing = subprocess.run(
        [folder / "bin" / "python", "-m", "pip", "install", *options, "-r", lock_file(peer)],
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if installing.returncode:
        raise NotInstalledError(installing.stderr.strip().rpartition("\n")[2])
    done.write_text(wanted, "ascii")
