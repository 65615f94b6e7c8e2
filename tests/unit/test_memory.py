"""What a process keeps of the memory that it has used."""

import subprocess
import sys
from typing import Final

BUFFERS: Final = 100
BUFFER_BYTES: Final = 256 * 1024
# Small things that stay lie between the large ones that go, as they do in a file's records.
GROWTH: Final = f"""
import resource
from pathlib import Path
from shared.memory import give_large_buffers_back

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

give_large_buffers_back()
bytearray({BUFFER_BYTES})
before = resident_bytes()
held = [(bytearray({BUFFER_BYTES}), bytearray(1_000)) for _ in range({BUFFERS})]
stay = [small for _large, small in held]
del held
print(resident_bytes() - before)
"""


def test_a_process_does_not_keep_the_large_buffers_that_it_freed() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(answer.stdout) < 4 * BUFFER_BYTES
