"""The local stack as other commands find it: its addresses, and whether it runs."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from crossdock.stack import mysql_server, processes, pubsub_emulator, storage_emulator
from shared.events import SUBSCRIPTIONS

SERVICES: tuple[str, ...] = tuple(SUBSCRIPTIONS)
SWEEP = "sweep"


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """A running service: its base URL and its process."""

    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class StackInfo:
    """A running stack, as `crossdock up --json` prints it.

    Attributes:
        mysql_url: the database, the account being its administrator.
        pubsub_emulator_host: `host:port`.
        storage_emulator_host: `http://host:port`.
        project: the project of topics and bucket.
        bucket: the bucket that partners upload to.
        services: every service by its name.
    """

    mysql_url: str
    pubsub_emulator_host: str
    storage_emulator_host: str
    project: str
    bucket: str
    services: Mapping[str, ServiceInfo]

    def to_json(self) -> dict[str, Any]:
        """The document that `crossdock up --json` prints."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The same, read back.

        Raises:
            KeyError: something is missing.
            TypeError: something is too much, or of another shape.
        """
        services = {name: ServiceInfo(**known) for name, known in document["services"].items()}
        return cls(**{**document, "services": services})

    def environment(self) -> dict[str, str]:
        """The settings with which a process works on this stack."""
        return {
            "CROSSDOCK_MYSQL_URL": self.mysql_url,
            "CROSSDOCK_PROJECT": self.project,
            "CROSSDOCK_BUCKET": self.bucket,
            "PUBSUB_EMULATOR_HOST": self.pubsub_emulator_host,
            "STORAGE_EMULATOR_HOST": self.storage_emulator_host,
        }


def default_state_dir(repo_root: Path) -> Path:
    """Where the stack of a working copy keeps its data, ports, logs and process ids."""
    return repo_root / ".crossdock"


def find_running(state_dir: Path) -> StackInfo | None:
    """The stack of this folder while any part of it runs, whatever else may have died.

    A service that died keeps its last process id.
    """
    info = remembered(state_dir)
    names = (mysql_server.PROCESS, pubsub_emulator.PROCESS, storage_emulator.PROCESS, *SERVICES)
    if info is None or not any(runs(state_dir, name) for name in names):
        return None
    return _with_pids(state_dir, info)


def runs(state_dir: Path, name: str) -> bool:
    """Whether a part of the stack runs, by its process's name."""
    return processes.alive(state_dir, name) is not None


def _with_pids(state_dir: Path, info: StackInfo) -> StackInfo:
    services = {}
    for name, service in info.services.items():
        identity = processes.recorded(state_dir, name)
        services[name] = ServiceInfo(service.url, identity.pid if identity else service.pid)
    return replace(info, services=services)


def remember(state_dir: Path, info: StackInfo) -> None:
    """Keep the addresses, readable by their owner only: the database's password is among them."""
    processes.write_private(state_dir / "stack.json", json.dumps(info.to_json(), indent=2))


def remembered(state_dir: Path) -> StackInfo | None:
    """The addresses of the last start, whatever runs now."""
    try:
        document = json.loads((state_dir / "stack.json").read_text(encoding="utf-8"))
        return StackInfo.from_json(document)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
