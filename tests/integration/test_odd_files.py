"""Files that look odd and keep the contract: taken, every value exactly as delivered."""

import json

import pytest

from shared.csv_records import MAX_FIELD_BYTES
from shared.storage.port import CHUNK_BYTES
from tests.drops import HEADERS, Drop
from tests.verdicts import Outcome, assert_accepted, assert_rejected, take_all

TEXTS = {  # a last_name as it is delivered: as it is spelled in the file
    "NULL": "NULL",
    "null": "null",
    "NULL ": '"NULL "',
    r"\N": r"\N",
    r"\n": r'"\n"',
    "ends in a backslash\\": '"ends in a backslash\\"',
    'quoted "here"\\': '"quoted ""here""\\"',
    '"': '""""',
    '","': '""",""",',
    ",NULL,": '",NULL,"',
    '",NULL,"': '""",NULL,"""',
    "a, b": '"a, b"',
    "two\nlines": '"two\nlines"',
    "two\r\nlines": '"two\r\nlines"',
    "two\rlines": '"two\rlines"',
    "\n": '"\n"',
    "\t\x01\x1b\x7f": '"\t\x01\x1b\x7f"',
    "needless quotes": '"needless quotes"',
    " spaces ": " spaces ",
    "🚗👩\u200d👩\u200d👧": "🚗👩\u200d👩\u200d👧",
    "line\u2028separator": "line\u2028separator",
    "next\x85line": "next\x85line",
    "\ufeffmark": "\ufeffmark",
    "\ufffe\uffff\U0010ffff": "\ufffe\uffff\U0010ffff",
    "composed é": "composed é",
    "decomposed e\u0301": "decomposed e\u0301",
    "=cmd()": "=cmd()",
    "@x": "@x",
    "<script>alert(1)</script>": "<script>alert(1)</script>",
    "%s %(load_id)s {0} $1": "%s %(load_id)s {0} $1",
    "'; DROP TABLE customers; --": "'; DROP TABLE customers; --",
    "x" * 100: "x" * 100,
    "🚗" * 100: "🚗" * 100,
}
EMPTY = ("", '""')
CUSTOMERS = [
    f"{number},Ada,{spelled.removesuffix(',')},,,,,,,,,"
    for number, spelled in enumerate((*TEXTS.values(), *EMPTY))
]
LAST_NAMES = [*TEXTS, None, None]
QUOTED_HEADER = ",".join(f'"{name}"' for name in HEADERS["customers"].split(","))


def lines(*records: str, end: str = "\n") -> bytes:
    return "".join(record + end for record in records).encode()


PLAIN = lines(HEADERS["customers"], *CUSTOMERS)
CRLF = lines(HEADERS["customers"], *CUSTOMERS, end="\r\n")
FILES = {
    "lf": PLAIN,
    "crlf": CRLF,
    "lf-without-the-last": PLAIN[:-1],
    "crlf-without-the-last": CRLF[:-2],
    "quoted-header": lines(QUOTED_HEADER, *CUSTOMERS),
}

# What the end of a chunk may cut in two: a character, a doubled quote, a CRLF in or after quotes.
AWKWARD = ("🚗", "é", '""', '"",""', "\r\n", '""\r\n""', "\n,NULL,\n", "\u2028", "")
TAIL = '",1,1,1\r\n'
CUTS = [(text, cut) for text in AWKWARD for cut in range(1, len((text or TAIL).encode()) + 1)]


def cut_by_chunks() -> tuple[bytes, dict[str, str]]:
    """A file that is cut in an awkward place by the end of each chunk, and its descriptions."""
    data = bytearray(lines(HEADERS["line_items"], end="\r\n"))
    descriptions: dict[str, str] = {}

    def head() -> bytes:
        return f'{len(descriptions)},I,1,,,"'.encode()

    def add(spelled: str) -> None:
        data.extend(head() + f"{spelled}{TAIL}".encode())
        descriptions[str(len(descriptions))] = spelled.replace('""', '"')

    for number, (text, cut) in enumerate(CUTS, start=1):
        boundary = number * CHUNK_BYTES
        while boundary - len(data) > 2_000:
            add("x" * 1_000)
        add("x" * (boundary - cut - len(data) - len(head())) + text)
        assert data[boundary - cut :].startswith(f"{text}{TAIL}".encode())
    return bytes(data), descriptions


def manifest_with_total(drop: Drop, total: str) -> bytes:
    manifest = drop.manifest()
    entry = next(file for file in manifest["files"] if file["name"] == "invoices.csv")
    entry["totals"] = {"total": total}
    return json.dumps(manifest).encode()


def invoiced(load_id: str, *totals: str) -> Drop:
    """A drop with an invoice of each amount."""
    drop = Drop.of(
        {
            "customers": [{"source_customer_id": "C"}],
            "vehicles": [{"source_vehicle_id": "V", "source_customer_id": "C"}],
        },
        load_id=load_id,
        partner=load_id,
    )
    rows = [f"{number},V,R,2026-02-28,,EUR,,,{total}" for number, total in enumerate(totals)]
    drop.files["invoices.csv"] = lines(HEADERS["invoices"], *rows)
    return drop


AMOUNTS = ("1.10", "20.20", "-0.05", "3.353")  # the last row is rejected: three decimals
LONG = "9" * MAX_FIELD_BYTES
TOTALS = {  # load_id: amounts, control total, what the message says if it is wrong
    "total-right": (AMOUNTS, "24.603", ()),
    "total-otherwise-written": (AMOUNTS, "+0024.60300", ()),
    "total-a-cent-off": (AMOUNTS, "24.613", ("24.603", "24.613")),
    "total-without-the-rejected": (AMOUNTS, "21.25", ("24.603", "21.25")),
    "total-of-no-number": ((*AMOUNTS, "1x"), "24.603", ("no number", "24.603")),
    "total-of-thirds": (("0.10",) * 3, "0.3", ()),
    "total-of-nothing": ((), "0", ()),
    "total-not-of-nothing": ((), "0.01", ("0.01",)),
    "total-of-65536-digits": ((LONG,), "1", ("999", "the manifest says")),
}


@pytest.fixture(scope="module")
def outcomes(mysql_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    drops: list[tuple[Drop, bytes | None]] = []
    for name, data in FILES.items():
        drop = Drop.of({}, load_id=name, partner=name)
        drop.files["customers.csv"] = data
        drops.append((drop, None))
    for name, (amounts, total, _) in TOTALS.items():
        drop = invoiced(name, *amounts)
        drops.append((drop, manifest_with_total(drop, total)))
    chunks = invoiced("chunks", "1.00")
    chunks.files["invoices.csv"] = chunks.files["invoices.csv"].replace(b"0,V", b"I,V")
    chunks.files["line_items.csv"], _ = cut_by_chunks()
    drops.append((chunks, None))
    return take_all(mysql_server_url, tmp_path_factory.mktemp("bucket"), drops)


@pytest.mark.parametrize("name", FILES)
def test_odd_text_stands_in_production_exactly_as_delivered(
    name: str, outcomes: dict[str, Outcome]
) -> None:
    outcome = outcomes[name]
    assert_accepted(outcome)
    assert outcome.offline_failure == {}
    assert outcome.rejects == []
    keys = {
        row["internal_id"]: int(row["source_key"])
        for row in outcome.standing["crosswalk_customers"]
    }
    found = {keys[row["customer_id"]]: row["last_name"] for row in outcome.standing["customers"]}
    assert found == dict(enumerate(LAST_NAMES))


def test_what_a_chunks_end_cuts_in_two_is_put_together_again(
    outcomes: dict[str, Outcome],
) -> None:
    outcome = outcomes["chunks"]
    assert_accepted(outcome)
    assert outcome.rejects == []
    _, descriptions = cut_by_chunks()
    found = {
        row["source_line_item_id"]: row["description"] for row in outcome.standing["line_items"]
    }
    assert found == descriptions


@pytest.mark.parametrize("name", [name for name, (_, _, says) in TOTALS.items() if not says])
def test_a_control_total_is_exact_and_counts_rejected_rows(
    name: str, outcomes: dict[str, Outcome]
) -> None:
    outcome = outcomes[name]
    assert_accepted(outcome)
    assert outcome.offline_failure == {}
    amounts, _, _ = TOTALS[name]
    assert outcome.count("invoices", "rejected") == amounts.count("3.353")


@pytest.mark.parametrize("name", [name for name, (_, _, says) in TOTALS.items() if says])
def test_a_control_total_that_differs_fails_the_load_and_names_both_sums(
    name: str, outcomes: dict[str, Outcome]
) -> None:
    outcome = outcomes[name]
    assert_rejected(outcome, "file.total_mismatch")
    failure = outcome.failure
    assert (failure["file"], failure["row"], failure["column"]) == ("invoices.csv", None, "total")
    for words in TOTALS[name][2]:
        assert words in failure["message"]
    assert len(failure["message"]) < 1_000
    assert outcome.offline_failure == failure
