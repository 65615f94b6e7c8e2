"""The containers for real: `python -m tests.containers`, or `make containers`.

Builds the image, brings the whole system up, loads the sample drop, brings it up again, kills the
Pub/Sub emulator while a drop arrives, and brings it up once more. It needs Docker with Compose 2.24
or later, stands in a project of its own, and leaves nothing but images. Exit 1 if anything is not
as docs/containers.md says.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from shared.events import SUBSCRIPTIONS
from tests.pages import ROOT

PROJECT = "crossdock-trial"
FILES = ("docker-compose.yml", "tests/containers/no-ports.yml")
STAY = {"mysql", "pubsub", "storage", "sweep", *SUBSCRIPTIONS}
PATIENCE_SECONDS = 300
DROP = """
from pathlib import Path
from infra.local import sample
sample.generate(Path("/tmp/drop"), seed=2)
"""
PACK_AND_UPLOAD = (
    "crossdock pack /tmp/drop --load-id monday --source-system acme && crossdock upload /tmp/drop"
)

Parts = dict[str, dict[str, Any]]


class DiffersError(Exception):
    """Something is not as the page says."""


def run(command: Sequence[str]) -> str:
    """What a command prints to stdout.

    Raises:
        DiffersError: it failed; the text holds the end of what it said.
    """
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr)[-3000:]
        raise DiffersError(f"{' '.join(command)} ended with {done.returncode}:\n{said}")
    return done.stdout


def compose(*words: str) -> str:
    files = (word for name in FILES for word in ("--file", name))
    return run(["docker", "compose", "--project-name", PROJECT, *files, *words])


def up(*options: str) -> Parts:
    """Bring the system up, and return its parts once all that stay are well."""
    began = time.monotonic()
    compose("up", "--detach", *options)
    while time.monotonic() < began + PATIENCE_SECONDS:
        parts = all_parts()
        well = {name for name in STAY if parts[name]["Health"] == "healthy"}
        if well == STAY:
            require(parts["init"]["ExitCode"] == 0, "init ended well")
            say(f"up and healthy after {time.monotonic() - began:.0f} s")
            return parts
        time.sleep(0.5)
    raise DiffersError(f"not healthy after {PATIENCE_SECONDS} s: {sorted(STAY - well)}")


def all_parts() -> Parts:
    """Every container by its service, as `docker compose ps` tells of it."""
    told = compose("ps", "--all", "--format", "json")
    # Compose before 2.21 prints one list, a newer one a line for each.
    parts = json.loads(told) if told.startswith("[") else map(json.loads, told.splitlines())
    return {part["Service"]: part for part in parts}


def require(holds: object, what: str) -> None:
    """Go on if it holds.

    Raises:
        DiffersError: it does not.
    """
    if not holds:
        raise DiffersError(f"this does not hold: {what}")


def say(line: str) -> None:
    sys.stdout.write(f"containers: {line}\n")
    sys.stdout.flush()


def see_that_it_is_locked_up(parts: Parts) -> None:
    """Each process of ours is nobody, without capabilities, and writes nowhere but to /tmp."""
    for name in SUBSCRIPTIONS:
        (found,) = json.loads(run(["docker", "inspect", parts[name]["ID"]]))
        require(found["Config"]["User"] == "10001:10001", f"{name} is nobody")
        require(found["HostConfig"]["ReadonlyRootfs"], f"{name} has a read-only file system")
        require(found["HostConfig"]["CapDrop"] == ["ALL"], f"{name} has no capabilities")
        status = compose("exec", "-T", name, "sh", "-c", "touch /app/x /opt/crossdock/x || id -u")
        require(status.strip() == "10001", f"{name} cannot change what it runs")
    say("every service runs as 10001 on a file system that it cannot change")


def load_the_sample() -> None:
    printed = compose("run", "--rm", "-T", "sample")
    require("sample-0001  reconciled" in printed, "the sample's report reconciles")
    sys.stdout.write(printed)


def follow(load_id: str) -> None:
    """Wait until a load is reported, and reconciled."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        listed = json.loads(compose("exec", "-T", "sweep", "crossdock", "status", "--json"))
        states = {load["load_id"]: load["state"] for load in listed["loads"]}
        if states.get(load_id) == "reported":
            shown = compose("exec", "-T", "sweep", "crossdock", "report", load_id, "--json")
            require(json.loads(shown)["reconciled"], f"{load_id} reconciles")
            return
        time.sleep(1)
    raise DiffersError(f"{load_id} is not reported after {PATIENCE_SECONDS} s: {states}")


def trial() -> None:
    first = up("--build")
    see_that_it_is_locked_up(first)
    load_the_sample()

    again = up()
    require(all(first[name]["ID"] == again[name]["ID"] for name in STAY), "`up` changes nothing")
    load_the_sample()
    say("a second `up` and a second sample changed nothing")

    run(["docker", "kill", again["pubsub"]["ID"]])
    upload = f"python -c '{DROP}' && {PACK_AND_UPLOAD}"
    compose("run", "--rm", "-T", "--no-deps", "sample", "sh", "-c", upload)
    say("the Pub/Sub emulator was killed, and a drop arrived that nobody was told of")
    up()
    follow("monday")
    say("after `up` the drop was found, loaded and reconciled")

    compose("stop", *SUBSCRIPTIONS, "sweep")
    ended = {name: all_parts()[name]["ExitCode"] for name in (*SUBSCRIPTIONS, "sweep")}
    require(not any(ended.values()), f"all end by themselves when told to: {ended}")
    say("every process ended in time when told to")


def main() -> int:
    try:
        trial()
    except DiffersError as differs:
        say(f"FAILED: {differs}")
        say(f"the logs:\n{compose('logs', '--tail', '20')}")
        return 1
    finally:
        compose("down", "--volumes", "--remove-orphans")
    say("all is as docs/containers.md says; nothing is left but images")
    return 0


if __name__ == "__main__":
    sys.exit(main())
