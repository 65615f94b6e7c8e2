"""The manifest's rules for its list of files, each with the code that a partner is told."""

from decimal import Decimal

import pytest

from tests.unit.manifests import (
    FILE_NAMES,
    failure_after,
    failure_of,
    parse_edited,
    with_rows,
)


@pytest.mark.parametrize("key", ["name", "rows", "sha256"])
def test_a_missing_key_of_a_file_is_named_with_its_place(key: str) -> None:
    failure = failure_after(lambda it: it["files"][2].pop(key))

    assert failure.code == "manifest.schema"
    assert f"files[2].{key}" in failure.message


@pytest.mark.parametrize(
    "value", ['"12"', "12.0", "1e3", "true", "false", "null", "-1", "[]", "{}", "1" * 20, "1e999"]
)
def test_rows_is_an_integer_from_zero_on_and_nothing_else(value: str) -> None:
    failure = failure_of(with_rows(value))

    assert failure.code == "manifest.schema"
    assert "files[2].rows" in failure.message


@pytest.mark.parametrize(
    "value", ["A" * 64, "a" * 63, "a" * 65, "g" * 64, "", "a" * 64 + "\n", "\uff11" * 64, 1, None]
)
def test_sha256_is_64_lower_case_hex_digits(value: object) -> None:
    failure = failure_after(lambda it: it["files"][1].update(sha256=value))

    assert failure.code == "manifest.schema"
    assert "files[1].sha256" in failure.message


@pytest.mark.parametrize("files", [None, {}, "customers.csv", 4, ["customers.csv"], [None], [[]]])
def test_files_is_a_list_of_objects(files: object) -> None:
    assert failure_after(lambda it: it.update(files=files)).code == "manifest.schema"


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/passwd",
        "../customers.csv",
        "./customers.csv",
        "customers.csv/",
        "sub/customers.csv",
        "Customers.csv",
        "customers.CSV",
        "cust%6Fmers.csv",
        "cust\u043emers.csv",
        "customers.csv\n",
        "customers.csv\0",
        " customers.csv",
        "customers",
        "payments.csv",
        "manifest.json",
        "",
        "x" * 50_000,
        "\ud800",
    ],
)
def test_a_name_that_is_not_exactly_an_entitys_file_is_invalid_and_shown_safely(name: str) -> None:
    failure = failure_after(lambda it: it["files"][0].update(name=name))

    assert failure.code == "manifest.file_name_invalid"
    assert failure.message.isascii()
    assert failure.message.isprintable()
    assert len(failure.message) < 300


@pytest.mark.parametrize("position", range(4))
def test_an_entity_whose_file_is_not_listed_is_named(position: int) -> None:
    failure = failure_after(lambda it: it["files"].pop(position))

    assert (failure.code, failure.file) == ("manifest.file_missing", FILE_NAMES[position])


def test_a_file_listed_twice_is_named() -> None:
    failure = failure_after(lambda it: it["files"].append(it["files"][1]))

    assert (failure.code, failure.file) == ("manifest.file_duplicate", "vehicles.csv")


@pytest.mark.parametrize(
    "totals",
    [
        {"line_total": 12},
        {"line_total": 12.5},
        {"line_total": None},
        {"line_total": ""},
        {"line_total": "1e3"},
        {"line_total": "1,234.50"},
        {"line_total": " 5"},
        {"line_total": "5\n"},
        {"line_total": ".5"},
        {"line_total": "5."},
        {"line_total": "\u0663"},
        {"line_total": "NaN"},
        {"line_total": "1_000"},
        {"line_number": "1"},
        {"description": "1"},
        {"total": "1"},
        {"nothing": "1"},
        [],
        None,
        "1",
    ],
)
def test_totals_name_decimal_columns_and_decimal_strings_only(totals: object) -> None:
    failure = failure_after(lambda it: it["files"][3].update(totals=totals))

    assert failure.code == "manifest.schema"
    assert "files[3].totals" in failure.message


@pytest.mark.parametrize("text", ["0", "-0", "+12.5", "-12.50", "0000", "1" * 40 + "." + "1" * 40])
def test_totals_may_have_a_sign_and_any_size(text: str) -> None:
    manifest = parse_edited(lambda it: it["files"][3].update(totals={"line_total": text}))

    assert manifest.file("line_items.csv").totals == {"line_total": Decimal(text)}
