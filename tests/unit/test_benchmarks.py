"""What the benchmarks do with what they measured: comparing, drawing, writing the page."""

import asyncio
import re
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks import chart, growth, page
from benchmarks.loads import Run
from benchmarks.page import Circumstances
from benchmarks.peers import commands, environments
from benchmarks.peers.catalog import PEERS
from benchmarks.peers.commands import Took
from benchmarks.peers.contents import Contents, canonical, compared
from benchmarks.peers.measure import Load, Result, median
from benchmarks.server import size_in_bytes
from benchmarks.slow_relay import SlowRelay
from shared.contracts.model import Kind, contracts
from tests.pages import ROOT

ENTITY = contracts()["v1"].entity("invoices")
HEADER = ",".join(ENTITY.header)
FIRST = "I-1,V-1,R/1,2025-01-31,paid,EUR,10.00,1.90,11.90"
SECOND = 'I-2,V-1,"R, 2",2025-02-01,,EUR,,,0.5'


@pytest.fixture
def invoices(tmp_path: Path) -> Path:
    path = tmp_path / "invoices.csv"
    path.write_text(f"{HEADER}\n{FIRST}\n{SECOND}\n", encoding="utf-8")
    return path


def rows_of(*lines: str) -> list[tuple[object, ...]]:
    return [tuple(line.split(",")) for line in lines]


SECOND_FOUND = ("I-2", "V-1", "R, 2", "2025-02-01 00:00:00", None, "EUR", None, None, 0.5)


def test_rows_of_the_same_meaning_are_intact(invoices: Path) -> None:
    found = [*rows_of(FIRST.replace("11.90", "11.9")), SECOND_FOUND]
    contents = compared(ENTITY, invoices, iter(found))
    assert contents == Contents(rows=2)
    assert contents.are_intact


def test_a_row_that_is_missing_or_there_twice_is_counted(invoices: Path) -> None:
    contents = compared(ENTITY, invoices, iter(rows_of(FIRST, FIRST)))
    assert (contents.missing, contents.surplus, contents.different) == (1, 1, 0)
    assert contents.told() == "no: 1 missing, 1 too many (invoices: 'I-2' is missing)"


def test_another_value_is_counted_and_told(invoices: Path) -> None:
    found = [*rows_of(FIRST.replace("11.90", "11.09")), SECOND_FOUND]
    contents = compared(ENTITY, invoices, iter(found))
    assert contents.different == 1
    assert contents.told() == "no: 1 with another value (invoices.total: 11.09 for 11.90)"


@pytest.mark.parametrize(
    ("kind", "value", "other", "are_equal"),
    [
        (Kind.TEXT, "", None, True),
        (Kind.TEXT, "007", "7", False),
        (Kind.TEXT, "a ", "a", False),
        (Kind.INT, "12", 12.0, True),
        (Kind.DECIMAL, "1.500", 1.5, True),
        (Kind.DECIMAL, "0", None, False),
        (Kind.DATE, "2025-01-31", "2025-01-31 00:00:00", True),
        (Kind.DATE, "2025-01-31", "2025-01-31 01:00:00", False),
    ],
)
def test_values_are_compared_by_their_type(
    kind: Kind, value: object, other: object, are_equal: bool
) -> None:
    assert (canonical(kind, value) == canonical(kind, other)) is are_equal


def test_a_failure_is_told_by_its_line_without_addresses_and_paths() -> None:
    log = (
        "starting\n\x1b[31mError 1137: table at mysql://u:p@127.0.0.1:1/x in /tmp/a/b\x1b[0m\nbye\n"
    )
    assert commands.reason(log) == "Error 1137: table at … in …"


def test_a_command_over_its_limit_is_ended_and_told(tmp_path: Path) -> None:
    took = commands.run([["sleep", "60"]], folder=tmp_path, environment={}, limit_seconds=0.2)
    assert took.failure == "not done after 0 s"
    assert took.seconds < 30


def test_a_command_that_fails_ends_the_load_with_its_reason(tmp_path: Path) -> None:
    failing = [["sh", "-c", "echo fatal: no luck >&2; exit 3"], ["touch", "later"]]
    took = commands.run(failing, folder=tmp_path, environment={}, limit_seconds=30)
    assert took.failure == "fatal: no luck"
    assert not (tmp_path / "later").exists()


def in_rounds(*loads: Load) -> tuple[Load, ...]:
    """What is left of a tool's first load, done once a round."""
    return median(
        [Result("tool", "1", "so", only_appends=False, loads=(load,)) for load in loads]
    ).loads


def test_of_several_rounds_the_middle_time_the_most_memory_and_the_worst_content_are_told() -> None:
    intact, wrong, worse = (Contents(rows=2, missing=missing) for missing in range(3))
    loads = in_rounds(
        Load(Took(3.0, 10), wrong, relates=True),
        Load(Took(1.0, 30), worse, relates=True),
        Load(Took(2.0, 20), intact, relates=False),
    )
    assert loads == (Load(Took(2.0, 30), worse, relates=False),)


def test_a_load_that_failed_in_one_round_has_failed() -> None:
    failed = Load(Took(1.0, 10, "no luck"))
    assert in_rounds(Load(Took(3.0, 10), Contents(rows=2)), failed) == (failed,)


def rounds_of(*rounds: tuple[float, float], peak_bytes: int = 80_000_000) -> list[growth.Round]:
    """Rounds of 100 and of 1,000 rows, by the seconds that each load took."""
    return [
        [
            growth.Growth(2**30, rows, Run(seconds, peak_bytes, {}, [], {}), 0, 0)
            for rows, seconds in zip((100, 1_000), of_round, strict=True)
        ]
        for of_round in rounds
    ]


def test_growth_is_judged_within_each_round_and_told_of_the_middle_one() -> None:
    rounds = rounds_of((1.0, 20.0), (2.0, 25.0), (1.0, 10.0))
    assert growth.shares(rounds) == [0.5, 0.8, 1.0]
    assert [one.run.seconds for one in growth.medians(rounds)] == [1.0, 20.0]
    assert (
        "**0.80** of the rate of the one before it; all rounds, the least first: 0.50, 0.80, 1.00"
        in growth.notes([rounds])[1]
    )
    assert growth.is_flat(rounds)


@pytest.mark.parametrize(
    "rounds", [rounds_of((1.0, 13.0)), rounds_of((1.0, 10.0), peak_bytes=160_000_000)]
)
def test_a_slow_large_load_and_one_with_much_memory_are_not_flat(
    rounds: list[growth.Round],
) -> None:
    assert not growth.is_flat(rounds)


def test_every_peer_has_a_lock_file_that_pins_it() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    listed = re.search(r"^PEERS := (.+)$", makefile, re.MULTILINE)
    assert listed is not None
    assert set(listed[1].split()) == {peer.name for peer in PEERS}
    for peer in PEERS:
        assert environments.locked_version(peer.name, peer.package)


def test_a_chart_is_well_formed_and_tells_every_bar() -> None:
    bars = [
        chart.Bar("ours", 2.0, "2.0 s", goal=3.0),
        chart.Bar("theirs <&>", None, "failed: 1 > 0", is_ours=False),
    ]
    drawn = chart.drawn("Seconds", [chart.Group("first", bars)])
    texts = [element.text for element in ET.fromstring(drawn).iter() if element.text]
    assert {"ours", "2.0 s", "theirs <&>", "failed: 1 > 0"} <= set(texts)


def test_what_a_run_writes_stands_between_its_marks_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "benchmarks.md"
    before = page.PAGE.read_text(encoding="utf-8")
    copy.write_text(before, encoding="utf-8")
    monkeypatch.setattr(page, "PAGE", copy)
    monkeypatch.setattr(page, "CHARTS", tmp_path / "benchmarks")
    drawn = chart.drawn("A title", [])
    for target in page.TARGETS:
        page.write(target, f"figures of {target}\n", drawn)
        page.write(target, f"figures of {target}\n", drawn)
    text = copy.read_text(encoding="utf-8")
    for target in page.TARGETS:
        begin, end = page.marks(target)
        link = f"![A title](benchmarks/{target}.svg)"
        assert f"{begin}figures of {target}\n\n{link}\n{end}" in text
        assert (tmp_path / "benchmarks" / f"{target}.svg").read_text(encoding="utf-8") == drawn
    assert outside(text) == outside(before)


def outside(text: str) -> str:
    for target in page.TARGETS:
        begin, end = page.marks(target)
        head, rest = text.split(begin)
        text = head + rest.split(end)[1]
    return text


@pytest.mark.parametrize(("load", "is_final"), [(0.1, True), (2.0, False)])
def test_figures_of_a_busy_machine_are_marked(load: float, is_final: bool) -> None:
    told = Circumstances("make bench", "2026-01-01", "a machine", "MySQL 9", load).rendered()
    assert ("not final" not in told) is is_final


def test_a_size_is_read_with_its_unit() -> None:
    assert [size_in_bytes(text) for text in ("64", "8K", "128M", "1G")] == [
        64,
        8 * 1024,
        128 * 1024**2,
        1024**3,
    ]
    with pytest.raises(ValueError, match="no size"):
        size_in_bytes("much")


async def test_the_slow_relay_hands_everything_on_in_its_time() -> None:
    sent = b"x" * 200_000

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        relay = SlowRelay("127.0.0.1", server.sockets[0].getsockname()[1], 400_000)
        async with relay.listening() as port:
            began = time.monotonic()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            received = await reader.read(-1)
            writer.close()
    assert received == sent
    assert time.monotonic() - began >= 0.5
