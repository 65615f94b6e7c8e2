"""Any loads of one partner, in any order and again, against a model of the contract in memory.

The model knows nothing of the code: it is the contract's section "What a load does to a row",
applied to one row after the other. Every example is a partner of its own on one database.
"""

import asyncio
import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from crossdock.pipeline import subscribe_stages
from shared.bus.memory import MemoryBus
from shared.events import Topic
from tests.drops import EPOCH, HEADERS, Drop
from tests.loads import report
from tests.verdicts import Bench, Outcome, open_bench

KEYS = {
    "customers": "source_customer_id",
    "vehicles": "source_vehicle_id",
    "invoices": "source_invoice_id",
    "line_items": "source_line_item_id",
}
PARENTS = {"vehicles": "customers", "invoices": "vehicles", "line_items": "invoices"}
CONSTANTS = {
    "invoices": {"invoice_number": "R", "invoice_date": "2026-02-28", "currency": "EUR"},
    "line_items": {"line_number": "1", "unit_price": "1", "line_total": "1"},
}
TEXT, INT, DECIMAL, OPTIONAL_DECIMAL = "text", "int", "decimal", "optional decimal"
VALUES = {
    "customers": {"first_name": TEXT, "city": TEXT},
    "vehicles": {"make": TEXT, "odometer": INT},
    "invoices": {"tax": OPTIONAL_DECIMAL, "total": DECIMAL},
    "line_items": {"description": TEXT, "quantity": DECIMAL},
}
FAULTS = {  # one way for each entity to break a rule
    "customers": ("row.too_long", {"country": "GBR"}),
    "vehicles": ("row.type", {"model_year": "12x"}),
    "invoices": ("row.range", {"subtotal": "1.234"}),
    "line_items": ("row.required", {"unit_price": ""}),
}
OF_PARENTS = {"row.orphan", "row.parent_rejected"}
KEY_POOL = ("K", "k", "é", "e\u0301", "ß", "ss", "🚗", "NULL", 'a,"b"', "c\nd")
STAGES = (Topic.ARRIVED, Topic.VALIDATED, Topic.STAGED)
MICROSECONDS = int(EPOCH.timestamp()) * 1_000_000
Fields = dict[str, str]
Place = tuple[str, str]  # entity and key


@dataclass(frozen=True)
class Row:
    """One delivered row."""

    key: str
    parent: str | None
    values: Fields
    is_faulty: bool


@dataclass(frozen=True)
class Load:
    """One drop: its rows by entity, and `created_at` in microseconds after all time began."""

    version: int
    rows: Mapping[str, list[Row]]


@dataclass(frozen=True)
class Step:
    """A load arrives, and then perhaps one that has arrived before is replayed from a stage."""

    load: Load
    replay: tuple[int, Topic] | None


Living = Callable[[list[Step]], None]


# --- what may be delivered ------------------------------------------------------------------------

texts = st.one_of(
    st.sampled_from(
        ["", "NULL", "\\N", "é", "e\u0301", "x", "X", " x", "x ", '"', "🚗", "0", "\r\n"]
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30),
)
numbers = st.sampled_from(["1.5", "1.50", "+01.5", "-1.5", "0", "-0.00", "9999999.99"])
SPELLINGS = {
    TEXT: texts,
    INT: st.sampled_from(["", "7", "+7", "007", "-7", "0", "-0", "9223372036854775807"]),
    DECIMAL: numbers,
    OPTIONAL_DECIMAL: numbers | st.just(""),
}


@st.composite
def some_rows(draw: st.DrawFn, entity: str, parents: list[Row] | None) -> list[Row]:
    keys = draw(st.lists(st.sampled_from(KEY_POOL), unique=True, min_size=3, max_size=9))
    if draw(st.integers(0, 5)) == 0:
        keys.append(draw(st.sampled_from(keys)))
    known = [row.key for row in parents or () if not row.is_faulty]
    return [
        Row(
            key,
            None if parents is None else draw(st.sampled_from([*known, *known, *KEY_POOL[:3]])),
            {column: draw(SPELLINGS[kind]) for column, kind in VALUES[entity].items()},
            is_faulty=draw(st.integers(0, 19)) == 0,
        )
        for key in keys
    ]


@st.composite
def some_load(draw: st.DrawFn, version: int) -> Load:
    rows: dict[str, list[Row]] = {}
    for entity in KEYS:
        parent = PARENTS.get(entity)
        rows[entity] = draw(some_rows(entity, rows[parent] if parent else None))
    return Load(version, rows)


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    versions = draw(st.lists(st.integers(0, 9), unique=True, min_size=4, max_size=5))
    loads = [draw(some_load(version)) for version in versions]
    if draw(st.booleans()):  # the same rows again, under another created_at
        loads[-1] = replace(loads[-1], rows=loads[0].rows)
    replays = st.tuples(st.integers(0, len(loads) - 1), st.sampled_from(STAGES))
    return [
        Step(load, (chosen[0] % (number + 1), chosen[1]) if chosen else None)
        for number, load in enumerate(loads)
        for chosen in [draw(st.none() | replays)]
    ]


# --- the contract, row by row ---------------------------------------------------------------------


@dataclass
class Standing:
    """A row as production has it."""

    parent: str | None
    values: dict[str, Any]
    version: int
    first_load: int
    last_load: int


@dataclass
class Model:
    """What production holds, and which loads delivered what, newest and oldest by created_at."""

    rows: dict[Place, Standing] = field(default_factory=dict)
    delivered: dict[Place, set[tuple[int, int]]] = field(default_factory=dict)

    def apply(self, number: int, load: Load) -> dict[str, Counter[str]] | None:
        """The outcomes of the load's rows by entity, or None if too many are rejected."""
        refused = self.refused(load)
        counts = {name: Counter({"rejected": 0}) for name in KEYS}
        for entity, _ in refused:
            counts[entity]["rejected"] += 1
        for entity, rows in load.rows.items():
            rejected = counts[entity]["rejected"]
            if rejected >= 10 and rejected * 100 > len(rows):
                return None
        for entity, rows in load.rows.items():
            for row_no, row in enumerate(rows, start=1):
                if (entity, row_no) not in refused:
                    counts[entity][self._take(number, load, entity, row)] += 1
        return counts

    def refused(self, load: Load) -> dict[tuple[str, int], str]:
        """The code of every rejected row by its entity and row_no."""
        refused: dict[tuple[str, int], str] = {}
        for entity, rows in load.rows.items():
            copies = Counter(row.key for row in rows)
            for row_no, row in enumerate(rows, start=1):
                if row.is_faulty:
                    refused[entity, row_no] = FAULTS[entity][0]
                elif copies[row.key] > 1:
                    refused[entity, row_no] = "row.duplicate_key"
                elif (code := self._code_of_parent(load, entity, row, refused)) is not None:
                    refused[entity, row_no] = code
        return refused

    def _code_of_parent(
        self, load: Load, entity: str, row: Row, refused: Mapping[tuple[str, int], str]
    ) -> str | None:
        parent = PARENTS.get(entity)
        if parent is None or (parent, row.parent) in self.rows:
            return None
        places = enumerate(load.rows[parent], start=1)
        in_drop = {other.key: (parent, row_no) in refused for row_no, other in places}
        if row.parent not in in_drop:
            return "row.orphan"
        return "row.parent_rejected" if in_drop[row.parent] else None

    def _take(self, number: int, load: Load, entity: str, row: Row) -> str:
        place = (entity, row.key)
        stands = self.rows.get(place)
        deliveries = self.delivered.setdefault(place, set())
        is_newer_there = any(version > load.version for version, _ in deliveries)
        deliveries.add((load.version, number))
        values = {
            column: typed(VALUES[entity][column], text) for column, text in row.values.items()
        }
        if stands is None:
            self.rows[place] = Standing(row.parent, values, load.version, number, number)
            return "inserted"
        if is_newer_there:
            return "stale"
        if (stands.parent, stands.values) == (row.parent, values):
            return "unchanged"
        self.rows[place] = Standing(row.parent, values, load.version, stands.first_load, number)
        return "updated"


def typed(kind: str, text: str) -> Any:
    if text == "":
        return None
    return text if kind == TEXT else Decimal(text)


# --- what the database holds ----------------------------------------------------------------------


def load_id(partner: str, number: int) -> str:
    return f"{partner}-{number}"


def drop_of(partner: str, number: int, load: Load) -> Drop:
    created_at = EPOCH + timedelta(microseconds=load.version)
    drop = Drop(load_id=load_id(partner, number), partner=partner, created_at=created_at)
    drop.files = {f"{entity}.csv": file_of(entity, rows) for entity, rows in load.rows.items()}
    return drop


def file_of(entity: str, rows: list[Row]) -> bytes:
    text = io.StringIO(newline="")
    header = HEADERS[entity].split(",")
    writer = csv.DictWriter(text, header, restval="", lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    for row in rows:
        fields = {KEYS[entity]: row.key, **CONSTANTS.get(entity, {}), **row.values}
        if row.parent is not None:
            fields[KEYS[PARENTS[entity]]] = row.parent
        writer.writerow(fields | (FAULTS[entity][1] if row.is_faulty else {}))
    return text.getvalue().encode()


async def found(bench: Bench, partner: str) -> Model:
    """Production and the crosswalks, read as the model tells them."""
    tables = await bench.standing(partner)
    keys: dict[str, dict[int, str]] = {
        entity: {row["internal_id"]: row["source_key"] for row in tables[f"crosswalk_{entity}"]}
        for entity in PARENTS.values()
    }
    keys["line_items"] = {
        row["line_item_id"]: row["source_line_item_id"] for row in tables["line_items"]
    }
    model = Model()
    for entity, columns in VALUES.items():
        parent = PARENTS.get(entity)
        for row in tables[entity]:
            model.rows[entity, keys[entity][row[id_of(entity)]]] = Standing(
                parent=keys[parent][row[id_of(parent)]] if parent else None,
                values={name: number_of(row[name]) for name in columns},
                version=row["source_version"] - MICROSECONDS,
                first_load=number_of_load(row["first_load_id"]),
                last_load=number_of_load(row["last_load_id"]),
            )
        for row in tables.get(f"crosswalk_{entity}", []):
            seen = (row["first_seen_load_id"], row["last_seen_load_id"])
            model.delivered[entity, row["source_key"]] = set(enumerate(map(number_of_load, seen)))
    return model


def id_of(entity: str) -> str:
    return KEYS[entity].removeprefix("source_")


def number_of_load(text: str) -> int:
    return int(text.rpartition("-")[2])


def number_of(value: Any) -> Any:
    return Decimal(value) if isinstance(value, int) else value


async def assert_as_predicted(bench: Bench, partner: str, model: Model) -> None:
    stands = await found(bench, partner)
    assert stands.rows == model.rows
    assert stands.delivered == {
        place: {(0, min(deliveries)[1]), (1, max(deliveries)[1])}
        for place, deliveries in model.delivered.items()
        if place[0] != "line_items"
    }


def assert_told(told: Mapping[str, Any], counts: Mapping[str, Counter[str]] | None) -> None:
    if counts is None:
        assert told["failure"]["code"] == "rejects.over_limit"
        return
    assert told["failure"] is None
    assert told["reconciled"] is True
    for entity, predicted in counts.items():
        names = ("inserted", "updated", "unchanged", "stale", "rejected")
        reported = {name: told["entities"][entity][name] for name in names}
        assert reported == {name: predicted[name] for name in names}


async def replay(bench: Bench, load: str, topic: Topic) -> None:
    bus = MemoryBus()
    subscribe_stages(bus, replace(bench.parts, bus=bus), lambda _: None)
    await bus.publish(topic, json.dumps({"load_id": load}).encode(), {})
    await bus.drain()
    assert bus.dead_letters == []


async def live_through(bench: Bench, partner: str, steps: list[Step]) -> None:
    model = Model()
    rejected: dict[int, list[int] | None] = {}
    for number, step in enumerate(steps):
        refused = model.refused(step.load)
        outcome = await bench.take(drop_of(partner, number, step.load))
        assert_refused(outcome, refused)
        counts = model.apply(number, step.load)
        rejected[number] = rejects(counts)
        assert_told(outcome.report, counts)
        await assert_as_predicted(bench, partner, model)
        if step.replay is not None:
            again, topic = step.replay
            before = await bench.standing(partner)
            counts = model.apply(again, steps[again].load)
            await replay(bench, load_id(partner, again), topic)
            assert_told(await report(bench.database, load_id(partner, again)), counts)
            await assert_as_predicted(bench, partner, model)
            if rejects(counts) == rejected[again]:  # else a parent has come since
                assert await bench.standing(partner) == before
            rejected[again] = rejects(counts)


def assert_refused(outcome: Outcome, refused: Mapping[tuple[str, int], str]) -> None:
    """Every reject, and offline those that no earlier load can have a part in."""
    stored = {(row["entity"], row["row_no"]): row["code"] for row in outcome.rejects}
    assert stored == refused
    offline = {(row.entity, row.row_no): row.code for row in outcome.checked.rejects}
    assert by_the_drop_alone(offline) == by_the_drop_alone(refused)


def by_the_drop_alone(refused: Mapping[tuple[str, int], str]) -> dict[tuple[str, int], str]:
    return {place: code for place, code in refused.items() if code not in OF_PARENTS}


def rejects(counts: Mapping[str, Counter[str]] | None) -> list[int] | None:
    return None if counts is None else [counts[entity]["rejected"] for entity in KEYS]


@pytest.fixture(scope="module")
def living(mysql_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    """Lives through the steps of one partner after the other, on one database."""
    partners = (f"partner{number}" for number in count())
    opened = open_bench(mysql_server_url, tmp_path_factory.mktemp("bucket"))
    with asyncio.Runner() as runner:
        bench = runner.run(opened.__aenter__())
        yield lambda steps: runner.run(live_through(bench, next(partners), steps))
        runner.run(opened.__aexit__(None, None, None))


@settings(
    max_examples=8,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
@given(steps=histories())
def test_production_is_what_the_contract_says_whatever_comes_in_whatever_order_and_again(
    living: Living, steps: list[Step]
) -> None:
    living(steps)
