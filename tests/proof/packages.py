"""The offline check against the services, on whole drops that were damaged by a seeded dice.

Each case is a drop, damaged in up to three ways, in the files or in the manifest, which mostly
describes the damaged files, so that the deeper checks are reached too. It goes through the four
stages over a real MySQL and through `crossdock check`. Both must tell the same failure, counts and
rejected rows, save what only the database can know: parents that are not in the drop.
"""

import asyncio
import csv
import hashlib
import io
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import structlog

from crossdock.offline_check import CheckResult, Reject, check
from crossdock.offline_rows import MOST_KEY_CHARACTERS_KEPT
from crossdock.pipeline import Ending
from shared.clock import now
from shared.errors import Failure
from tests.drops import HEADERS, ROWS, Drop, csv_bytes, later
from tests.loads import run
from tests.proof import mutations
from tests.proof.tally import Tally
from tests.verdicts import LENIENT, Bench, open_bench

TOTAL = 5_000
ESTABLISHED = "established"  # a partner whose earlier load brought the rows of tests.drops
TAKEN, WITH_REJECTS, OVER_LIMIT = "taken", "taken with rejects", "rejects.over_limit"
_BY_ROWS = {TAKEN, WITH_REJECTS, OVER_LIMIT}
OF_PARENTS = {"row.orphan", "row.parent_rejected"}
_CLOCK = re.compile(r"clock, \S+")

GOOD = {
    "first_name": ["", "Ada", "NULL", 'Zoë, "Z"', "two\nlines"], "country": ["", "GB"],
    "email": ["", "a@example.com"], "company_name": ["", "=cmd()"],
    "model_year": ["", "1999", "+7", "-0"], "odometer": ["", "9223372036854775807"],
    "make": ["", "🚗", "\\N"], "vin": ["", "x" * 17],
    "invoice_number": ["R-1"], "invoice_date": ["2026-02-28", "2024-02-29"], "currency": ["EUR"],
    "total": ["1.50", "-3", "9999999999.99"], "tax": ["", "0.1"], "status": ["", "paid"],
    "line_number": ["1", "007"], "quantity": ["1.000", "2"], "unit_price": ["1.5000", "+1"],
    "line_total": ["1.50", "4.50"], "description": ["", "back\\slash", "😀" * 2_000],
}  # fmt: skip
FAULTY = {
    "first_name": ["x" * 101], "country": ["GBR"], "email": ["x" * 255],
    "model_year": ["12x", "1e3", " 5", "9223372036854775808"], "odometer": ["٣", "1.0"],
    "vin": ["x" * 18], "invoice_date": ["2025-02-30", "25/12/01", ""], "currency": ["", "EURO"],
    "total": ["1,234.50", "1.234", "", "1" * 11], "tax": [".5", "5.", "--1"],
    "line_number": ["", "x"], "quantity": ["1.0001", "1" * 10], "unit_price": ["", "1e3"],
    "line_total": ["NULL", "0x1"], "description": ["x" * 2_001],
}  # fmt: skip
Rows = Mapping[tuple[str, int], tuple[str, ...]]
PARENT = {"vehicles": "customers", "invoices": "vehicles", "line_items": "invoices"}


@dataclass(frozen=True)
class Package:
    """A damaged drop: its manifest's bytes, and the names of what was done to it."""

    drop: Drop
    manifest: bytes
    damage: tuple[str, ...]

    @property
    def outside_parents(self) -> bool:
        """Whether production may have parents of its rows."""
        return self.drop.partner in {ESTABLISHED, LENIENT}


@dataclass(frozen=True)
class Verdict:
    """What one of the two says of a drop, its rows by entity and row_no.

    What the services tell of a drop leaves nothing unresolved.
    """

    failure: Mapping[str, Any]
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    rejects: Rows = field(default_factory=dict)
    failure_if_unresolved: Mapping[str, Any] = field(default_factory=dict)
    unresolved: Rows = field(default_factory=dict)

    @property
    def code(self) -> str:
        """The failure's code, or how the drop was taken."""
        return str(self.failure.get("code", WITH_REJECTS if self.rejects else TAKEN))

    def without_earlier_loads(self) -> "Verdict":
        """The same where no unresolved row finds its parent: each is a reject."""
        lost = Counter(entity for entity, _ in self.unresolved)
        return Verdict(
            self.failure_if_unresolved or self.failure,
            {name: (rows, it + lost[name]) for name, (rows, it) in self.counts.items()},
            {**self.rejects, **self.unresolved},
        )


# --- a damaged drop -------------------------------------------------------------------------------


def package(seed: int, number: int) -> Package:
    """The case of that number, the same for the same seed."""
    dice = Random(f"{seed}/packages/{number}")
    load_id = f"p{number}"
    partner = dice.choices([load_id, ESTABLISHED, LENIENT, "bad name"], [70, 15, 14, 1])[0]
    if dice.random() < 0.01:
        load_id = f"bad name {number}"
    drop = Drop(load_id, partner, later(10) + timedelta(seconds=number))
    ends = dice.choice(["\n", "\n", "\r\n"])
    drop.files = {
        f"{name}.csv": csv_bytes(name, rows, line_end=ends)
        for name, rows in some_rows(dice).items()
    }
    rows_meant = counted_rows(drop.files)
    damage: list[str] = []
    if dice.random() < 0.75:
        damage += damage_files(dice, drop)
    described = drop.files if dice.random() < 0.85 else {}
    manifest = manifest_of(drop, described, rows_meant)
    damage_it = dice.random()
    if damage_it < 0.3:
        change = dice.choice(mutations.OF_MANIFEST)
        change(dice, manifest)
        damage.append(change.__name__)
    data = json.dumps(manifest).encode()
    if damage_it < 0.05 or damage_it > 0.9:
        spoil = dice.choice(mutations.OF_MANIFEST_BYTES)
        data = spoil(dice, data)
        damage.append(spoil.__name__)
    return Package(drop, data, tuple(damage))


def some_rows(dice: Random) -> dict[str, list[dict[str, str]]]:
    """Rows of all entities: a few, or many of which some are faulty, copies or without parents."""
    faulty = dice.choice([0.0, 0.0, 0.05, 0.3])
    most = dice.choice([0, 3, 3, 8, 8, 25])
    rows: dict[str, list[dict[str, str]]] = {}
    for entity, header in HEADERS.items():
        key, *columns = header.split(",")
        rows[entity] = []
        for number in range(dice.randint(0, most) + (most > 0)):
            row = {key: some_key(dice, entity, number, faulty)}
            for column in columns:
                pool = FAULTY if dice.random() < faulty / 4 and column in FAULTY else GOOD
                row[column] = dice.choice(pool.get(column, [""]))
            if entity in PARENT:
                row[columns[0]] = some_parent(dice, entity, rows, faulty)
            rows[entity].append(row)
    return rows


def some_key(dice: Random, entity: str, number: int, faulty: float) -> str:
    """Mostly a new key; with faults also copies, empty ones and white space."""
    own = dice.choice(list(ROWS[entity][0].values())[:1] + [f"{entity[0].upper()}{number}"] * 3)
    if dice.random() < faulty / 2:
        return dice.choice([f"{entity[0].upper()}0", "", f" {own}", f"{own}\u2003", "x" * 65])
    return own if number else f"{entity[0].upper()}0"


def some_parent(
    dice: Random, entity: str, rows: Mapping[str, list[dict[str, str]]], faulty: float
) -> str:
    """A key of the drop; with faults also of an earlier load, of none, or nothing."""
    parent = PARENT[entity]
    keys = [next(iter(row.values())) for row in rows[parent]]
    earlier = [next(iter(row.values())) for row in ROWS[parent]]
    if not keys or dice.random() < faulty / 4:
        return dice.choice([*earlier, *earlier, "nowhere", ""])
    return dice.choice(keys)


def damage_files(dice: Random, drop: Drop) -> list[str]:
    """Damage one file, perhaps in some ways, or the folder; returns what was done."""
    name = dice.choice(list(drop.files))
    done = []
    for change in mutations.picked(dice, mutations.OF_CSV + mutations.OF_BYTES, 3):
        drop.files[name] = change(dice, drop.files[name])
        done.append(f"{change.__name__} {name}")
    if dice.random() < 0.04:
        del drop.files[name]
        done.append(f"remove {name}")
    if dice.random() < 0.03:
        extra = dice.choice(["notes.txt", "Customers.csv", ".hidden", "line\nbreak", "a/b.csv"])
        if "/" not in extra:
            drop.files[extra] = b"x"
            done.append(f"add {extra!a}")
    return done


def counted_rows(files: Mapping[str, bytes]) -> dict[str, int]:
    """The data rows of each file that is CSV by Python's own strict reader."""
    counts = {}
    for name, data in files.items():
        try:
            text = io.StringIO(data.decode(), newline="")
            counts[name] = max(0, sum(1 for _ in csv.reader(text, strict=True)) - 1)
        except (csv.Error, UnicodeDecodeError):
            continue
    return counts


def manifest_of(
    drop: Drop, described: Mapping[str, bytes], rows_meant: Mapping[str, int]
) -> dict[str, Any]:
    """A manifest for the files as they are, or, where they are not described, as they were not."""
    rows = {**rows_meant, **counted_rows(described)}
    names = [f"{entity}.csv" for entity in HEADERS]
    return {
        "load_id": drop.load_id,
        "source_system": drop.partner,
        "schema_version": "v1",
        "created_at": drop.created_at.isoformat(),
        "files": [
            {
                "name": name,
                "rows": rows[name],
                "sha256": hashlib.sha256(described.get(name, b"")).hexdigest(),
            }
            for name in names
        ],
    }


# --- both verdicts --------------------------------------------------------------------------------


async def by_the_services(bench: Bench, package: Package) -> Verdict:
    """Take the drop through the four stages, and read what the ledger tells of it."""
    followed = await run(bench.parts, package.drop)
    if followed.ending is Ending.REFUSED:
        name = f"{package.drop.prefix}manifest.json"
        refusal = await bench.database.fetch_one(
            "SELECT failure_code AS code, failure_message AS message FROM arrival "
            "WHERE object = %(name)s",
            {"name": name},
        )
        assert refusal is not None
        return Verdict(Failure.of(refusal["code"], refusal["message"]).to_json())
    keys = {"load_id": package.drop.load_id}
    told = await bench.database.fetch_value(
        "SELECT report FROM load_report WHERE load_id = %(load_id)s", keys
    )
    report = json.loads(told)
    rejects = await bench.database.fetch_all(
        "SELECT entity, row_no, source_key, code, column_name, message FROM load_reject "
        "WHERE load_id = %(load_id)s",
        keys,
    )
    return Verdict(
        report["failure"] or {},
        {name: (it["staged"], it["rejected"]) for name, it in report["entities"].items()},
        rejects={
            (it["entity"], it["row_no"]): (
                it["code"],
                it["column_name"],
                it["message"],
                it["source_key"][:MOST_KEY_CHARACTERS_KEPT],
            )
            for it in rejects
        },
    )


def offline(result: CheckResult) -> Verdict:
    """What `crossdock check` says."""
    return Verdict(
        result.failure.to_json() if result.failure else {},
        {name: (it.rows, it.rejected) for name, it in result.entities.items()},
        _by_place(result.rejects),
        result.failure_if_unresolved.to_json() if result.failure_if_unresolved else {},
        _by_place(result.unresolved),
    )


def _by_place(rows: Iterable[Reject]) -> Rows:
    return {(it.entity, it.row_no): (it.code, it.column, it.message, it.source_key) for it in rows}


def difference(served: Verdict, checked: Verdict, *, outside_parents: bool) -> str | None:
    """Where the two differ beyond what only the database can know; None where they agree.

    Without parents in production all that is unresolved is rejected, and nothing may differ but
    the words that say so. With them some of the rows that want a parent are accepted after all, and
    the drop may be back below the limit of rejects.
    """
    worst = checked.without_earlier_loads()
    may_recover = outside_parents and bool(_wanting(worst))
    codes = {served.code, worst.code}
    is_about_the_limit = OVER_LIMIT in codes and codes <= _BY_ROWS
    if not (may_recover and is_about_the_limit):
        told, foretold = _told(served.failure), _told(worst.failure)
        if told != foretold:
            return f"services: {told}; check: {foretold}"
    if not (served.counts and checked.counts):
        return None
    mine, other = _comparable(served, checked.unresolved), _comparable(worst, checked.unresolved)
    if may_recover:
        accepted = {place for place in _wanting(worst) if place not in served.rejects}
        other = {place: told for place, told in other.items() if place not in accepted}
    elif served.counts != worst.counts:
        return f"services: {served.counts}; check: {worst.counts}"
    return f"rejects: {mine.items() ^ other.items()}" if mine != other else None


def _wanting(verdict: Verdict) -> set[tuple[str, int]]:
    """The rows that are rejected for want of a parent."""
    return {place for place, reject in verdict.rejects.items() if reject[0] in OF_PARENTS}


def _comparable(verdict: Verdict, unresolved: Rows) -> dict[tuple[str, int], tuple[str, ...]]:
    """The rejects, those that the check leaves open without their message."""
    return {
        place: (code, column, "" if place in unresolved else message, key)
        for place, (code, column, message, key) in verdict.rejects.items()
    }


def _told(failure: Mapping[str, Any]) -> dict[str, Any]:
    """A failure without the hand of the clock that its message may tell."""
    if not failure:
        return {}
    return {**failure, "message": _CLOCK.sub("clock", failure["message"])}


# --- all of them ----------------------------------------------------------------------------------


def compare(server_url: str, seed: int, numbers: range) -> Tally:
    """Judge the drops of these numbers twice, on a database of their own."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    try:
        with tempfile.TemporaryDirectory(prefix="crossdock-proof-") as root:
            return asyncio.run(_compare(server_url, Path(root), seed, numbers))
    finally:
        structlog.reset_defaults()


async def _compare(server_url: str, root: Path, seed: int, numbers: range) -> Tally:
    tally = Tally()
    async with open_bench(server_url, root) as bench:
        for partner in (ESTABLISHED, LENIENT):
            earlier = Drop(f"earlier-{partner}", partner, later(0))
            earlier.write(root)
            assert (await run(bench.parts, earlier)).ending is Ending.REPORTED
        for number in numbers:
            case = package(seed, number)
            folder = case.drop.write(root, manifest=case.manifest)
            served = await by_the_services(bench, case)
            checked = offline(
                await asyncio.to_thread(
                    check, folder, partner=None, partners=bench.parts.partners, now=now()
                )
            )
            differs = difference(served, checked, outside_parents=case.outside_parents)
            where = f"seed {seed}, package {number}, {', '.join(case.damage)}: "
            tally.add(served.code, None if differs is None else where + differs)
    return tally
