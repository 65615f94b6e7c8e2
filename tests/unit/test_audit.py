"""What `make audit` makes of pip-audit's answer, and of none."""

import json
import sys
from pathlib import Path

import pytest

from infra.audit import Outcome, audit, main, read

CLEAN = {"name": "rich", "version": "14.0", "vulns": []}
SKIPPED = {"name": "odd", "skip_reason": "not on the index"}
FOUND = {
    "name": "flask",
    "version": "0.5",
    "vulns": [
        {"id": "PYSEC-1", "fix_versions": ["1.0", "0.9.1"], "aliases": [], "description": ""},
        {"id": "PYSEC-2", "fix_versions": [], "aliases": [], "description": ""},
    ],
}


def answer(*packages: object) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def test_packages_without_a_known_vulnerability_are_counted() -> None:
    said = read(answer(CLEAN, CLEAN), "No known vulnerabilities found")
    assert (said.outcome, said.lines) == (
        Outcome.CLEAN,
        ("2 of 2 packages audited, 0 vulnerabilities known",),
    )


def test_each_vulnerability_is_named_with_the_release_that_mends_it() -> None:
    said = read(answer(CLEAN, FOUND, SKIPPED), "Found 2 known vulnerabilities in 1 package")
    assert said.outcome is Outcome.VULNERABLE
    assert said.lines == (
        "flask 0.5: PYSEC-1, mended in 1.0, 0.9.1",
        "flask 0.5: PYSEC-2, mended in no release yet",
        "2 of 3 packages audited, 2 vulnerabilities known",
        "nothing is known of odd",
    )


@pytest.mark.parametrize(
    ("printed", "complained", "says"),
    [
        ("", "ERROR: Could not connect to the feed", "cannot be reached from here"),
        ("", "Traceback\nrequests.exceptions.ProxyError: no", "cannot be reached from here"),
        ("", "Tip: your network may be blocking this service", "cannot be reached from here"),
        ("", "WARNING\nERROR: no such file\n", "not audited: ERROR: no such file"),
        ("", "", "pip-audit said nothing"),
        ("{}", "", "pip-audit said nothing"),
        (answer(), "", "0 of 0 packages audited"),
        (answer(CLEAN, SKIPPED), "", "nothing is known of odd"),
    ],
)
def test_without_an_answer_for_every_package_nothing_is_claimed(
    printed: str, complained: str, says: str
) -> None:
    said = read(printed, complained)
    assert said.outcome is Outcome.NOT_KNOWN
    assert says in said.lines[-1]


def test_pip_audit_is_given_the_file_and_installs_nothing(tmp_path: Path) -> None:
    program = tmp_path / "pip_audit_stand_in.py"
    package = {"vulns": [], "version": "1"}
    program.write_text(
        "import json, sys\n"
        f"print(json.dumps({{'dependencies': [{package!r} | {{'name': sys.argv[-1]}}]}}))\n"
        "sys.exit('--disable-pip' not in sys.argv)\n"
    )
    said = audit(tmp_path / "requirements.txt", [sys.executable, str(program)])
    assert said.outcome is Outcome.CLEAN


def test_where_there_is_no_pip_audit_it_says_so_and_does_not_pass(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["requirements.txt", "requirements-dev.txt"]) == Outcome.NOT_KNOWN
    told = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in told] == [
        "requirements.txt",
        "requirements-dev.txt",
    ]
    assert all("No module named pip_audit" in line for line in told)
