"""docs/metrics.md and docs/tracing.md against the instruments, the steps and the outcomes."""

import ast

from shared.ledger.states import State
from shared.steps import STEPS
from shared.telemetry.metrics import Outcome
from tests.pages import ROOT, code, page, quoted, table

PAGE = page("docs/metrics.md")
TRACING = page("docs/tracing.md")
MODULE = ROOT / "shared" / "telemetry" / "metrics.py"
KINDS = ("counter", "gauge", "histogram")


def instruments() -> dict[str, tuple[str, str, set[str]]]:
    """Every instrument's kind, unit and attributes, as the module makes and uses it."""
    tree = ast.parse(MODULE.read_bytes())
    made: dict[str, tuple[str, str, str]] = {}
    used: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(
                targets=[ast.Name(variable)],
                value=ast.Call(
                    func=ast.Attribute(attr=method), args=[ast.Constant(name), *_], keywords=more
                ),
            ) if method.startswith("create_"):
                (unit,) = [ast.literal_eval(one.value) for one in more if one.arg == "unit"]
                made[variable] = (str(name), method.removeprefix("create_"), unit)
            case ast.Call(
                func=ast.Attribute(value=ast.Name(variable), attr="add" | "set" | "record"),
                args=[_, ast.Dict(keys=keys)],
            ):
                used[variable] = {str(ast.literal_eval(key)) for key in keys if key}
    return {
        name: (kind, unit, used.get(variable, set()))
        for variable, (name, kind, unit) in made.items()
    }


def test_every_instrument_stands_on_the_page_with_kind_unit_and_attributes() -> None:
    told = {
        row["metric"].strip("`"): (
            row["kind"],
            row["unit"].strip("`"),
            set(quoted(row["attributes"])),
        )
        for row in table(PAGE)
    }
    known = instruments()
    assert {kind for kind, _, _ in known.values()} == set(KINDS)
    assert told == known


def test_every_outcome_of_a_stage_is_told() -> None:
    sentence = PAGE[PAGE.index("`outcome` of a stage") :].partition(";")[0]
    assert quoted(sentence)[1:] == list(Outcome)


def test_no_attribute_can_have_many_values() -> None:
    names = {name for _, _, attributes in instruments().values() for name in attributes}
    assert names == {"stage", "outcome", "code", "entity", "state"}
    assert len(State) < 10


def test_the_drawn_trace_is_one_of_this_code() -> None:
    (drawn,) = code(TRACING, "text")
    names = {line.split("  ")[0] if line[0] != " " else line.strip() for line in drawn.splitlines()}
    words = {word for name in names for word in name.split()}
    passed = {"rejected"}  # the sample is a good drop
    for stage in ("validator", "stager", "upserter", "reporter"):
        assert {"process", "run", stage} <= words
        assert set(STEPS[stage]) - passed <= words
