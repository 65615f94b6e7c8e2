"""`make audit`: whether any pinned package has a vulnerability that is known.

pip-audit reads the lock files and asks its advisory service about each package. Without an answer
nothing is known, and nothing is claimed.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

PIP_AUDIT: Final = (sys.executable, "-m", "pip_audit")
# The files are locked with hashes: nothing is resolved, downloaded or installed to be audited.
OPTIONS: Final = (
    *("--require-hashes", "--disable-pip", "--progress-spinner=off", "--format=json"),
    "--vulnerability-service=osv",  # it has the index's own advisories and more
)
_NO_CONNECTION: Final = ("Could not connect", "requests.exceptions.", "network may be blocking")


class Outcome(IntEnum):
    """How an audit ended; the exit code of the process is the worst of all files."""

    CLEAN = 0
    VULNERABLE = 1
    NOT_KNOWN = 2


@dataclass(frozen=True, slots=True)
class Audit:
    """What became known of one lock file, in lines for a person."""

    outcome: Outcome
    lines: tuple[str, ...]


def read(printed: str, complained: str) -> Audit:
    """What pip-audit said of a lock file, out of its stdout and stderr."""
    try:
        packages: list[dict[str, Any]] = json.loads(printed)["dependencies"]
    except (ValueError, KeyError):
        return Audit(Outcome.NOT_KNOWN, (_why_not(complained),))
    found = [line for package in packages for line in _vulnerabilities_of(package)]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    audited = f"{len(packages) - len(skipped)} of {len(packages)} packages audited"
    lines = (*found, f"{audited}, {len(found)} vulnerabilities known")
    if skipped:
        lines = (*lines, f"nothing is known of {', '.join(skipped)}")
    if found:
        return Audit(Outcome.VULNERABLE, lines)
    return Audit(Outcome.NOT_KNOWN if skipped or not packages else Outcome.CLEAN, lines)


def _vulnerabilities_of(package: dict[str, Any]) -> Iterator[str]:
    for found in package.get("vulns", ()):
        mended = ", ".join(found["fix_versions"]) or "no release yet"
        yield f"{package['name']} {package['version']}: {found['id']}, mended in {mended}"


def _why_not(complained: str) -> str:
    if any(sign in complained for sign in _NO_CONNECTION):
        return "not audited: the advisory service cannot be reached from here; nothing is known"
    return f"not audited: {(complained.strip() or 'pip-audit said nothing').splitlines()[-1]}"


def audit(lock_file: Path, command: Sequence[str] = PIP_AUDIT) -> Audit:
    """Run pip-audit over one lock file."""
    words = [*command, *OPTIONS, "--requirement", str(lock_file)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    return read(done.stdout, done.stderr)


def main(lock_files: Sequence[str]) -> int:
    """Audit the files one after the other, and tell of each."""
    worst = Outcome.CLEAN
    for name in lock_files:
        found = audit(Path(name))
        worst = max(worst, found.outcome)
        for line in found.lines:
            sys.stdout.write(f"{name}: {line}\n")
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
