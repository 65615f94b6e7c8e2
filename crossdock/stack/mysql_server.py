"""The local MySQL server: a private data folder, a free loopback port, an administrator's account.

Its durability is that of production (every commit is flushed, the binary log too): a stack that
forgave a crash would prove nothing.
"""

import hashlib
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pymysql

from crossdock.stack import processes
from crossdock.stack.errors import StackError
from crossdock.stack.mysql_binaries import MySQLServerProgram, find_or_fetch
from shared.mysql.connect import MySQLAddress
from shared.mysql.quoting import quoted
from shared.mysql.tls import BlockingConnection

PROCESS = "mysql"
ACCOUNT = "crossdock"
DATABASE = "crossdock"
# A socket's path has to fit into sockaddr_un (104 bytes on macOS, 108 on Linux).
LONGEST_SOCKET_PATH = 100
LARGEST_BUFFER_POOL_BYTES = 1024**3
START_SECONDS = 90.0
# A large transaction may have to be rolled back, and dirty pages written, before it ends.
STOP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class MySQLInstance:
    """A running local server.

    Attributes:
        url: `mysql://account:password@host:port/database`, the account being the administrator.
        pid: the server's process.
        port: its port on the loopback interface.
    """

    url: str
    pid: int
    port: int


def ensure_started(
    state_dir: Path, *, progress: Callable[[str], None] = lambda _line: None
) -> MySQLInstance:
    """Start the server of this state folder, or return the one that runs.

    The port of an earlier start is taken again if it is free. Not to be called twice at once for
    one folder.

    Args:
        state_dir: the data, the password, the port and the log are kept here.
        progress: told what is being done.

    Raises:
        StackError: it could not be started; the text holds the end of its log.
        MySQLServerMissingError: there is no server program and none could be fetched.
    """
    folder = state_dir.resolve() / "mysql"
    folder.mkdir(parents=True, exist_ok=True)
    password = _password(folder)

    def start_it() -> None:
        program = find_or_fetch(progress)
        if not (folder / "data").exists():
            progress(f"MySQL {program.version}: making a new data folder")
            _initialize(state_dir, folder, program)
        port = processes.usable_port(_remembered_port(folder))
        (folder / "port").write_text(str(port), encoding="ascii")
        _start(state_dir, folder, program, port)

    def url() -> str:
        return f"mysql://{ACCOUNT}:{password}@127.0.0.1:{_remembered_port(folder)}/{DATABASE}"

    pid = processes.ensure(
        state_dir,
        PROCESS,
        start_it,
        lambda: accepts_connections(url()),
        timeout_seconds=START_SECONDS,
    )
    return MySQLInstance(url=url(), pid=pid, port=_remembered_port(folder) or 0)


def stop(state_dir: Path) -> bool:
    """Shut the server of this state folder down cleanly; its data stays.

    Returns:
        Whether it was running.
    """
    return processes.terminate(state_dir, PROCESS, grace_seconds=STOP_SECONDS)


def create_database(url: str, name: str) -> str:
    """Create an empty database beside the one that `url` names.

    Returns:
        The URL of the new database, with the same account.

    Raises:
        ValueError: the name is no plain identifier.
    """
    _execute(url, f"CREATE DATABASE {quoted(name)} CHARACTER SET utf8mb4")
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def drop_database(url: str, name: str) -> None:
    """Drop a database and all in it; one that is not there is no error."""
    _execute(url, f"DROP DATABASE IF EXISTS {quoted(name)}")


def accepts_connections(url: str) -> bool:
    """Whether the server at `url` lets the account in."""
    try:
        _execute(url, "SELECT 1")
    except pymysql.MySQLError:
        return False
    return True


def _execute(url: str, statement: str) -> None:
    arguments = MySQLAddress.parse(url).arguments()
    del arguments["database"]  # the one named may be the one to be made
    connection = BlockingConnection(**arguments, autocommit=True)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


def _password(folder: Path) -> str:
    """The administrator's password, made up at the first start and readable by its owner only."""
    path = folder / "password"
    if not path.exists():
        processes.write_private(path, secrets.token_hex(16))
    return path.read_text(encoding="ascii").strip()


def _remembered_port(folder: Path) -> int | None:
    try:
        return int((folder / "port").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _initialize(state_dir: Path, folder: Path, program: MySQLServerProgram) -> None:
    """Make the data folder; it has its name only once it is complete."""
    for leftover in folder.glob("data-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(prefix="data-", dir=folder))
    command = [*program.command, *_place(program, fresh), "--initialize-insecure"]
    log = processes.log_file(state_dir, "mysql-initialize")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        done = subprocess.run(  # noqa: S603 - the server program found above
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False
        )
    if done.returncode != 0:
        printed = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise StackError(f"MySQL could not make its data folder {fresh}:\n{printed}")
    fresh.rename(folder / "data")


def _start(state_dir: Path, folder: Path, program: MySQLServerProgram, port: int) -> None:
    data = folder / "data"
    # Every start puts the accounts in order before the first connection is let in, so a start that
    # was cut short between making the data and making the account mends itself.
    accounts = folder / "accounts.sql"
    processes.write_private(accounts, _accounts(_password(folder)))
    socket = _socket(folder)
    # After a crash the server's own note of who holds the socket may name a process id that is
    # somebody else's by now, and it would refuse to start. The data folder has its real lock.
    socket.with_name(socket.name + ".lock").unlink(missing_ok=True)
    command = [
        *program.command,
        *_place(program, data),
        f"--port={port}",
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        f"--socket={socket}",
        f"--pid-file={data / 'mysqld.pid'}",
        f"--init-file={accounts}",
        "--mysqlx=OFF",
        "--local-infile=ON",
        "--secure-file-priv=NULL",
        "--max-connections=200",
        "--character-set-server=utf8mb4",
        "--default-time-zone=+00:00",
        f"--innodb-buffer-pool-size={_buffer_pool_bytes()}",
        "--innodb-redo-log-capacity=2G",
        # Few connections on few processors write the redo log faster than threads of its own.
        "--innodb-log-writer-threads=OFF",
        "--innodb-flush-log-at-trx-commit=1",
        "--sync-binlog=1",
        "--binlog-expire-logs-seconds=86400",
    ]
    processes.start(state_dir, PROCESS, command)


def _place(program: MySQLServerProgram, data: Path) -> list[str]:
    """The options that the first start and every later one share; no file of options is read."""
    as_root = ["--user=root"] if os.getuid() == 0 else []
    return ["--no-defaults", *as_root, *program.place_options, f"--datadir={data}"]


def _accounts(password: str) -> str:
    lines = ["SET SESSION sql_log_bin = 0;"]
    for host in ("localhost", "%"):
        account = f"'{ACCOUNT}'@'{host}'"
        lines += [
            f"CREATE USER IF NOT EXISTS {account};",
            f"ALTER USER {account} IDENTIFIED BY '{password}';",
            f"GRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION;",
        ]
    lines += [
        f"ALTER USER 'root'@'localhost' IDENTIFIED BY '{password}';",
        f"CREATE DATABASE IF NOT EXISTS {DATABASE} CHARACTER SET utf8mb4;",
    ]
    return "\n".join(lines) + "\n"


def _socket(folder: Path) -> Path:
    """The unix socket: in the state folder, or, if that path is too long, in a temporary one."""
    socket = folder / "mysql.sock"
    if len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH:
        return socket
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    short = Path(tempfile.gettempdir()) / f"crossdock-{os.getuid()}-{digest}"
    short.mkdir(mode=0o700, exist_ok=True)
    return short / "mysql.sock"


def _buffer_pool_bytes() -> int:
    """1 GiB, less on a machine with less than 4 GiB; MySQL takes the memory as it fills it."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(128 * 1024**2, min(LARGEST_BUFFER_POOL_BYTES, memory // 4))
