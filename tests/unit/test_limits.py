"""Limits on what a stranger may send: at each of them, and one beyond."""

import json

import pytest

from services.validator.checks import MAX_FILE_BYTES, MOST_OBJECTS, check_folder
from shared.errors import Failure, Rejected
from shared.manifest import _MOST_LEVELS, _MOST_ROWS
from shared.storage.port import ObjectInfo
from tests.unit.local_drops import Drop
from tests.unit.manifests import document, failure_of, parse_edited
from tests.unit.test_validator_checks import COMPLETE, MANIFEST, PREFIX, an_object


def nested(levels: int) -> bytes:
    """A manifest with an unknown key, and brackets so deep, its own counted."""
    good = json.dumps(document())
    deep = "[" * (levels - 1) + "]" * (levels - 1)
    return good.replace("{", f'{{"x": {deep}, ', 1).encode()


def folder_failure(objects: list[ObjectInfo]) -> Failure:
    with pytest.raises(Rejected) as caught:
        check_folder(MANIFEST, PREFIX, objects)
    return caught.value.failure


def test_brackets_nest_to_the_limit_on_every_python() -> None:
    assert failure_of(nested(_MOST_LEVELS)).code == "manifest.schema"
    beyond = failure_of(nested(_MOST_LEVELS + 1))
    assert beyond.code == "manifest.invalid_json"
    assert "nested too deep: 33 levels, and at most 32" in beyond.message


def test_brackets_side_by_side_or_inside_strings_do_not_nest() -> None:
    for text in ("[[" * 40, '\\"[[' * 40, "\\\\"):
        edited = document() | {"note": text}
        assert failure_of(json.dumps(edited).encode()).code == "manifest.schema"
    flat = document() | {"note": [[]] * 100}
    assert failure_of(json.dumps(flat).encode()).code == "manifest.schema"


def test_rows_go_to_the_last_number_of_63_bits() -> None:
    assert (
        parse_edited(lambda it: it["files"][0].update(rows=_MOST_ROWS)).files[0].rows == 2**63 - 1
    )
    edited = document()
    edited["files"][0]["rows"] = _MOST_ROWS + 1
    assert failure_of(json.dumps(edited).encode()).code == "manifest.schema"


def test_a_file_of_the_largest_size_is_read_and_a_larger_one_is_not() -> None:
    largest = an_object("vehicles.csv", size_bytes=MAX_FILE_BYTES)
    others = [it for it in COMPLETE if it.name != largest.name]
    assert len(check_folder(MANIFEST, PREFIX, [*others, largest]).files) == 4

    larger = an_object("vehicles.csv", size_bytes=MAX_FILE_BYTES + 1)
    failure = folder_failure([*others, larger])
    assert (failure.code, failure.file) == ("file.too_large", "vehicles.csv")
    assert f"{MAX_FILE_BYTES + 1} bytes; at most {MAX_FILE_BYTES}" in failure.message


def test_of_a_crowded_folder_only_the_first_objects_are_looked_at(drop: Drop) -> None:
    for number in range(MOST_OBJECTS + 50):
        (drop.folder / f"a{number:05}").touch()

    failure = drop.check().failure

    assert failure is not None
    assert (failure.code, failure.file) == ("file.unexpected", "a00000")
    assert f"and at least {MOST_OBJECTS + 1 - 3} more" in failure.message
    assert "not there" not in failure.message


def test_a_folder_as_full_as_the_limit_is_counted_exactly() -> None:
    crowd = [an_object(f"a{number}") for number in range(MOST_OBJECTS - len(COMPLETE))]

    assert f"and {len(crowd) - 3} more" in folder_failure([*crowd, *COMPLETE]).message
