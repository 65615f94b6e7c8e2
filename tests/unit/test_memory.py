"""What a process keeps of the memory that it has used."""

import os
import subprocess
import sys
from typing import Final

import pytest

BUFFERS: Final = 100
BUFFER_BYTES: Final = 256 * 1024
# Smaller things that stay lie between the large ones that go, as they do in a file's records.
STAYING_BYTES: Final = 60_000
GROWTH: Final = f"""
import contextlib, resource, sys
from pathlib import Path

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

with contextlib.suppress(SystemExit, Exception):
    {{begin}}
bytearray({BUFFER_BYTES})
before = resident_bytes()
held = [(bytearray({BUFFER_BYTES}), bytearray({STAYING_BYTES})) for _ in range({BUFFERS})]
stay = [smaller for _large, smaller in held]
del held
print(resident_bytes() - before - {BUFFERS * STAYING_BYTES})
"""
# A service without its settings stops, but has begun.
PROGRAMS: Final = {
    "the command line": "from crossdock.cli import main; sys.argv[1:] = ['--version']; main()",
    "a service": "import services.stager.app",
    "a pull worker": "import services.stager.__main__",
}


def growth_bytes(begin: str) -> int:
    """What is left of buffers that a process has freed which began so."""
    script = GROWTH.format(begin=begin)
    settings = {name: text for name, text in os.environ.items() if "CROSSDOCK" not in name}
    answer = subprocess.run(
        [sys.executable, "-c", script],
        env=settings,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return int(answer.stdout.split()[-1])


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_program_keeps_the_large_buffers_that_it_freed(program: str) -> None:
    assert growth_bytes(PROGRAMS[program]) < 4 * BUFFER_BYTES


def test_a_process_that_is_left_to_itself_keeps_them() -> None:
    assert growth_bytes("pass") > BUFFERS * BUFFER_BYTES / 2
