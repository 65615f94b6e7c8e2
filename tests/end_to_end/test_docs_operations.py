"""Every command of the operations pages, typed as it stands, on the running stack."""

import asyncio
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crossdock.cli.app import app
from crossdock.cli.errors import ExitCode
from crossdock.stack import running
from shared.mysql.connect import Database
from tests.commands import commands
from tests.drops import Drop
from tests.end_to_end.test_services import told, until
from tests.pages import ROOT, code
from tests.production import content

PAGES = (ROOT / "docs/operations.md", *sorted(ROOT.glob("docs/operations/*.md")))
DROP = Drop(load_id="2026-02-01", partner="operations")
# The stack's own beginning and end, and what never ends, have tests of their own.
NOT_HERE = {"up", "down", "run"}
COMMANDS = commands()
GROUPS = {name.split()[0] for name in COMMANDS if " " in name}
SENDS_A_DROP = ("check", "upload")


def calls() -> list[list[str]]:
    """The words of each call that the pages show, those first that bring the drop in."""
    found: list[str] = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        found += re.findall(r"`crossdock ([a-z][^`]*)`", text)
        found += re.findall(r"^crossdock (.*)$", "".join(code(text, "sh")), re.MULTILINE)
    words = [shlex.split(" ".join(call.split())) for call in dict.fromkeys(found)]
    here = [call for call in words if call[0] not in NOT_HERE and "--loop" not in call]
    typed_in_full = [call for call in here if not is_named_only(call)]
    return sorted(
        typed_in_full, key=lambda call: (call[0] not in SENDS_A_DROP, "--replace" in call)
    )


def is_named_only(call: list[str]) -> bool:
    """A command that the text speaks of, without the words that it needs."""
    name = " ".join(call)
    known = COMMANDS.get(name)
    return any(one.required for one in known.params) if known else name in GROUPS


def typed(call: list[str], folder: Path) -> list[str]:
    """What a person types who has this drop, and this load."""
    stands_for = {"DIR": str(folder), "LOAD_ID": DROP.load_id, "STAGE": "reporter"}
    return [stands_for.get(word, word) for word in call]


def expected(call: list[str]) -> set[int]:
    """A letter of that number may not be there; all else is done."""
    names_a_letter = call[:2] == ["dead-letter", "redrive"] and call[2].isdigit()
    return {ExitCode.DONE, ExitCode.NOT_FOUND} if names_a_letter else {ExitCode.DONE}


async def test_each_command_of_the_operations_pages_does_what_it_is_there_for(
    stack: running.StackInfo, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)
    folder = DROP.write(tmp_path)
    done: list[str] = []
    for call in calls():
        if call[0] not in SENDS_A_DROP:
            await until(database, DROP, told)
        result = await asyncio.to_thread(CliRunner().invoke, app, typed(call, folder))
        assert result.exit_code in expected(call), (call, result.output)
        done.append(call[0])
    assert {"check", "upload", "status", "report", "replay", "sweep", "doctor"} <= set(done)
    row = await until(database, DROP, told)
    assert (row["state"], row["failure_code"]) == ("reported", None)
    assert any((await content(database)).values())
