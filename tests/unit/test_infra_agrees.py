"""infra/terraform against the code and the pages: the names that it repeats are theirs."""

import json
import re
import tomllib

from infra.mysql.accounts import PREFIX, PROGRAMS
from shared.events import DEAD_LETTER_SUBSCRIPTION, SUBSCRIPTIONS, TOPICS
from shared.partners import Partners
from shared.settings import Settings
from tests.pages import ROOT, column, page, section, table

PLACE = ROOT / "infra" / "terraform"
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(PLACE.glob("*.tf"))}
LOGS = page("docs/operations/logs.md")


def test_topics_and_subscriptions_are_those_of_the_code() -> None:
    topology = json.loads((PLACE / "topology.json").read_text(encoding="utf-8"))
    assert topology == {
        "topics": list(TOPICS),
        "subscriptions": {name: list(topics) for name, topics in SUBSCRIPTIONS.items()},
        "dead_letter_subscription": DEAD_LETTER_SUBSCRIPTION,
    }


def test_log_lines_that_are_counted_stand_on_the_page_of_operations() -> None:
    lists = re.findall(r"events = \[([^\]]+)\]", TEXTS["alerts.tf"])
    asked = {name for text in lists for name in re.findall(r'"([^"]+)"', text)}
    asked |= set(
        re.findall(r'\\"([a-z]+\.[a-z_]+)\\"', TEXTS["metrics.tf"] + TEXTS["dashboard.tf"])
    )
    assert {"load.needs_attention", "sweep.pass", "stage.finished"} <= asked
    assert asked <= set(column(table(section(LOGS, "## Logs")), "message"))


def test_settings_that_services_get_are_settings_of_the_code() -> None:
    known = {f"CROSSDOCK_{name.upper()}" for name in Settings.model_fields}
    files = [*PLACE.glob("*.tf"), *(PLACE / "environments").glob("*.tfvars")]
    given = {
        name
        for path in files
        for name in re.findall(r"CROSSDOCK_\w+", path.read_text(encoding="utf-8"))
    }
    assert "CROSSDOCK_MYSQL_URL" in given
    assert given <= known


def test_the_mysql_accounts_of_the_programs_are_those_that_are_made() -> None:
    text = page("infra/terraform/tests/identities.tftest.hcl")
    told = re.findall(r'^ +mysql-url-(\w+) += "(\w+)"$', text, re.MULTILINE)
    assert {user for _, user in told} == {f"{PREFIX}_{name}" for name, _ in told}
    assert {name for name, _ in told} == {*PROGRAMS} - {"reader"}, "nothing runs as the reader"


def test_the_list_of_partners_that_is_made_is_one_that_services_read() -> None:
    made = (PLACE / "tests" / "partners.expected").read_text(encoding="utf-8")
    partners = Partners.model_validate(tomllib.loads(made))
    assert partners.unknown_folders == "refuse"
    assert set(partners.partners) == {"acme", "other"}


def test_the_page_leads_to_every_file() -> None:
    named = re.findall(r"`([a-z]+\.tf|topology\.json)`", page("infra/terraform/README.md"))
    ordinary = {"locals.tf", "outputs.tf", "variables.tf", "versions.tf"}
    assert set(named) == {"topology.json", *TEXTS} - ordinary
