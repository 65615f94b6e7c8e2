"""docs/benchmarks.md and its charts, written by the runs that measured them."""

import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final, Self

DOCS: Final = Path(__file__).resolve().parents[1] / "docs"
PAGE: Final = DOCS / "benchmarks.md"
CHARTS: Final = DOCS / "benchmarks"
TARGETS: Final = ("bench", "bench-growth", "bench-small", "bench-pull", "bench-peers")
IDLE_LOAD: Final = 0.5


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Where, when and of what a run's figures are; made before the run begins.

    Attributes:
        command: by which the run can be had again.
        date: the day, in UTC.
        machine: processor, cores and memory.
        versions: what took part, each with its version.
        load: how many processes wanted a processor in the minute before.
    """

    command: str
    date: str
    machine: str
    versions: str
    load: float

    @classmethod
    def now(cls, target: str, arguments: Sequence[str], **versions: str) -> Self:
        """Those of a run that is about to begin."""
        asked = " ".join(word for word in arguments if word != "--write")
        return cls(
            command=f"make {target} ARGS='{asked}'" if asked else f"make {target}",
            date=datetime.now(UTC).date().isoformat(),
            machine=_machine(),
            versions=versions_of(**versions),
            load=os.getloadavg()[0],
        )

    def rendered(self) -> str:
        """The sentence above the figures."""
        if self.load > IDLE_LOAD:
            others = f"**The machine had other work** (a load of {self.load:.1f}): not final."
        else:
            others = "The machine had no other work."
        command = "`" + self.command + "`"
        return f"{command} on {self.date}, {self.machine}; {self.versions}. {others}"


def versions_of(**others: str) -> str:
    """Crossdock's and Python's, and those of what else took part."""
    known = {"crossdock": version("crossdock"), "Python": platform.python_version()} | others
    return ", ".join(f"{name} {number}" for name, number in known.items())


def marks(target: str) -> tuple[str, str]:
    """The lines between which a target writes."""
    begin = f"<!-- {target}: written by `make {target} ARGS=--write` -->\n"
    return begin, f"<!-- end of {target} -->\n"


def rendered(
    circumstances: Circumstances, header: Sequence[str], rows: Sequence[Sequence[str]]
) -> str:
    """The circumstances and a table of what was measured, in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    table = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    return "\n".join([circumstances.rendered(), "", *table, ""])


def write(target: str, text: str, chart: str | None = None) -> None:
    """Put text, and below it a chart, in the place of what a target wrote before.

    Raises:
        ValueError: the page lacks one of the target's two marks.
    """
    begin, end = marks(target)
    page = PAGE.read_text(encoding="utf-8")
    head, rest = page.split(begin)
    _, tail = rest.split(end)
    if chart is not None:
        CHARTS.mkdir(exist_ok=True)
        (CHARTS / f"{target}.svg").write_text(chart, encoding="utf-8")
        text += f"\n![{_title(chart)}](benchmarks/{target}.svg)\n"
    PAGE.write_text(f"{head}{begin}{text}{end}{tail}", encoding="utf-8")


def _title(chart: str) -> str:
    found = re.search(r"<title>(.*?)</title>", chart)
    assert found is not None
    return found[1]


def _machine() -> str:
    cpu = Path("/proc/cpuinfo")
    told = cpu.read_text("utf-8") if cpu.exists() else ""
    names = re.findall(r"^model name\s*: (.+)$", told, re.MULTILINE)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    processor = names[0] if names else platform.machine()
    return f"{os.cpu_count()} cores of {processor}, {memory:.0f} GiB, {platform.system()}"
