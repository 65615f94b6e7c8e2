"""docs/cli.md against the command line: every command, option, example and exit code."""

import re
import shlex

import pytest

from crossdock.cli.errors import ExitCode
from tests.commands import commands
from tests.pages import code, column, page, section, table, tables

PAGE = page("docs/cli.md")
COMMANDS = commands()


def test_every_command_has_its_section_and_no_other_has_one() -> None:
    sections = re.findall(r"^## `(.+)`$", PAGE, re.MULTILINE)
    assert sorted(sections) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_options_of_a_command_are_those_of_its_table(name: str) -> None:
    options = {
        word for parameter in COMMANDS[name].params for word in parameter.opts if word[:2] == "--"
    }
    rows = [row for found in tables(section(PAGE, f"## `{name}`")) for row in found]
    assert set(column(rows, "option")) == options - {"--help"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_a_command_can_be_typed_as_they_stand(name: str) -> None:
    examples = [
        shlex.split(line)
        for block in code(section(PAGE, f"## `{name}`"), "sh")
        for line in block.splitlines()
    ]
    assert examples
    words_of_name = name.split()
    for program, *words in examples:
        assert (program, words[: len(words_of_name)]) == ("crossdock", words_of_name)
        COMMANDS[name].make_context(name, words[len(words_of_name) :])


@pytest.mark.parametrize("name", COMMANDS)
def test_the_exit_codes_of_a_command_are_such_as_there_are(name: str) -> None:
    found = re.search(r"^Exit codes: ([\d, ]+)\.$", section(PAGE, f"## `{name}`"), re.MULTILINE)
    assert found is not None
    codes = [ExitCode(int(number)) for number in found[1].split(", ")]
    assert codes[0] is ExitCode.DONE
    assert not {ExitCode.UNEXPECTED, ExitCode.WRONG_USAGE} & set(codes)


def test_every_exit_code_is_explained() -> None:
    intro, *_ = PAGE.partition("\n## ")
    assert column(table(intro), "exit code") == [str(int(each)) for each in ExitCode]
