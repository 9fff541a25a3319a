"""The machine on the other side: an open connection, calls of `deploy.remote`, commands shown."""

from __future__ import annotations

import json
import logging
import shlex
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import paramiko
from fabric import Connection

from common.errors import CommandError
from deploy.host_keys import Verified
from deploy.remote.base import BEGIN, BOOT, NAME, REFUSED
from deploy.remote.trees import reader

REMOTE = Path(__file__).parent / "remote"
ANY_PYTHON = f"""
python="$HOME/.virtualenvs/{NAME}/bin/python"
test -x "$python" || python=python3
exec "$python" "$@"
"""
NO_PYTHON = 127  # a shell's status for a program that is not there; BOOT's for one too old
SENT = 1 << 18  # bytes handed over at once
SAID = 1000  # bytes that are kept of what comes in an answer's place
CONNECT = 20  # seconds to connect in, unless the user says otherwise
KEEP_ALIVE = 15.0  # seconds between two signs of life, which keep routers from forgetting
SILENCE = 120.0  # seconds without one after which a connection is lost

logging.getLogger("paramiko").addHandler(logging.NullHandler())  # what it says is raised as well


class ConnectionLost(CommandError):
    """The connection broke off."""


class Machine:
    """A machine that is connected to.

    Attributes
    ----------
    connection : Fabric's
    label : user@host, for people
    name : what the user calls it, as a folder's name: the host, with a port that is not ssh's
    again : the beginning of a command for it, as in "fab -H gpu"
    python : str
        The Python there that runs the calls, where `deploy.probe` has found one; else it is the
        environment's, or python3.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        port = "" if connection.port == 22 else f":{connection.port}"
        self.label = f"{connection.user}@{connection.host}{port}"
        self.name, self.again = _as_given(connection)
        self.python = ""

    def call(
        self, module: str, function: str, /, payload: Iterable[bytes] = (), **arguments: Any
    ) -> Any:
        """Calls a function of `deploy.remote` there, with bytes for its standard input.

        Raises CommandError with the machine's sentence, ConnectionLost where it does not answer.
        """
        with self._asked(module, function, arguments) as (channel, read):
            if all(_sent(channel, block) for block in payload):
                channel.shutdown_write()
            return self._answer(channel, read)

    @contextmanager
    def stream(
        self, module: str, function: str, /, **arguments: Any
    ) -> Iterator[Callable[[int], bytes]]:
        """Calls a generator there; yields a `read(n)` of its bytes, empty at their end.

        Raises what `call` raises, also where a reader has met an early end by EOFError.
        """
        with self._asked(module, function, arguments) as (channel, read):
            self._answer(channel, read)
            try:
                yield channel.recv
            except EOFError:
                self._check_end(channel)
                raise self._lost() from None
            self._check_end(channel)

    def show(self, command: str, folder: str = "", *, given: bytes = b"") -> int:
        """Runs a command line there, its output on this terminal; returns its exit status.

        `given` is its standard input.
        """
        if folder:
            command = f"cd {shlex.quote(folder)} && {command}"
        with self._channel(_announced(command)) as channel:
            channel.set_combine_stderr(True)
            _sent(channel, given)
            channel.shutdown_write()
            self._skip_greeting(channel)
            while block := channel.recv(SENT):
                write(block)
            return self._status(channel)

    def capture(self, command: str, given: bytes = b"") -> str:
        """Runs a command line there and returns what it prints."""
        with self._channel(_announced(command)) as channel:
            _sent(channel, given)
            channel.shutdown_write()
            self._skip_greeting(channel)
            output = b"".join(iter(lambda: channel.recv(SENT), b""))
            self._status(channel)
        return output.decode(errors="replace")

    @contextmanager
    def _channel(self, command: str) -> Iterator[Any]:
        try:
            channel = self.connection.transport.open_session()
            channel.exec_command(command)
            with channel:
                yield channel
        except (paramiko.SSHException, ConnectionError, EOFError) as error:
            raise self._lost() from error

    @contextmanager
    def _asked(
        self, module: str, function: str, arguments: dict[str, Any]
    ) -> Iterator[tuple[Any, Callable[[int], bytes]]]:
        """Sends the modules and the request; yields the channel and a reader of whole lengths."""
        sources = json.dumps(_sources()).encode()
        request = {"module": module, "function": function, "arguments": arguments}
        python = [self.python] if self.python else ["sh", "-c", ANY_PYTHON, "-"]
        with self._channel(shlex.join([*python, "-c", BOOT, str(len(sources))])) as channel:
            _sent(channel, sources + json.dumps(request).encode() + b"\n")
            yield channel, reader(channel.recv)

    def _answer(self, channel: Any, read: Callable[[int], bytes]) -> Any:
        self._skip_greeting(channel)
        line = bytearray()
        try:
            while not line.endswith(b"\n"):
                line += read(1)
        except EOFError:
            self._check_end(channel)
            raise self._lost() from None
        answer = json.loads(line)
        if "error" in answer:
            raise CommandError(f"{self.label}: {answer['error']}")
        return answer["result"]

    def _skip_greeting(self, channel: Any) -> None:
        """Reads what comes before `BEGIN`: shells of rented machines greet.

        Raises CommandError with what was said where nothing else comes.
        """
        said = bytearray()
        while not said.endswith(BEGIN.encode()):
            byte = channel.recv(1)
            if not byte:
                self._check_end(channel, before_answer=bytes(said))
            said = said[-SAID:] + byte

    def _check_end(self, channel: Any, before_answer: bytes | None = None) -> None:
        """Raises CommandError where a call was refused, RuntimeError where it failed.

        CommandError as well where it ended `before_answer`, with what was said instead.
        """
        status = self._status(channel)
        said = b"".join(iter(lambda: channel.recv_stderr(SENT), b"")).decode(errors="replace")
        if status == NO_PYTHON:
            raise CommandError(
                f"{self.label} has no Python that is new enough; 'fab deploy' tells what it lacks."
            )
        if status == REFUSED and before_answer is None:
            raise CommandError(f"{self.label}: {' '.join(said.splitlines()[-1:])}")
        if status and (before_answer is None or "Traceback" in said):
            raise RuntimeError(f"on {self.label}:\n{said}")
        if before_answer is not None:
            words = " ".join(f"{before_answer.decode(errors='replace')} {said}".split())
            raise CommandError(
                f"{self.label} lets this user run no commands: it says '{words}' and ends with "
                f"status {status}; log in as it says."
            )

    def _status(self, channel: Any) -> int:
        status = int(channel.recv_exit_status())
        if status == -1:
            raise self._lost()
        return status

    def _lost(self) -> ConnectionLost:
        return ConnectionLost(f"The connection to {self.label} was lost.")


def _as_given(connection: Connection) -> tuple[str, str]:
    """Returns a folder's name and a command's beginning for a machine, as the user calls it."""
    configured = connection.ssh_config
    port = "" if connection.port == int(configured.get("port", 22)) else f":{connection.port}"
    user = configured.get("user", connection.config.user)
    user = "" if connection.user == user else f"{connection.user}@"
    keys = connection.config.connect_kwargs.get("key_filename") or []
    given = [f"{user}{connection.original_host}{port}"]
    for key in [keys] if isinstance(keys, str) else keys:
        given += ["-i", str(key)]
    return connection.original_host + port.replace(":", "-"), shlex.join(["fab", "-H", *given])


def _announced(command: str) -> str:
    """Returns the command line with `BEGIN` printed before its own output."""
    begin = BEGIN.replace("\n", "\\n")
    return f"printf '{begin}'; {command}"


def _sent(channel: Any, block: bytes) -> bool:
    """Sends a block; returns False where the other side has closed: its answer says why."""
    try:
        channel.sendall(block)
    except OSError:
        return False
    return True


def write(block: bytes) -> None:
    """Writes what came from the machine to this terminal, as it came."""
    sys.stdout.flush()
    sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()


@contextmanager
def connected(connection: Connection, user: str = "") -> Iterator[Machine]:
    """Connects, with the host key verified, and yields the machine.

    Raises CommandError where it can't be reached, is not the one that is known, or refuses the key.
    """
    if not isinstance(connection, Connection):
        raise CommandError("No machine is named; name it by fab -H user@host, before the task.")
    if connection.config.run.dry:
        raise CommandError("No machine tells what it would do; leave --dry (-R) out.")
    if user:
        connection.user = user
    machine = Machine(connection)
    _prepare(connection)
    try:
        connection.open()
    except CommandError:
        connection.client.close()
        raise
    except Exception as error:
        connection.client.close()
        raise _cannot_connect(machine.label, connection, error) from error
    threading.Thread(target=_watch, args=(connection.transport,), daemon=True).start()
    try:
        yield machine
    finally:
        connection.close()


def _prepare(connection: Connection) -> None:
    """Has the host keys of a machine, and of those on the way to it, verified; bounds the wait."""
    if "timeout" not in connection.connect_kwargs:
        connection.connect_timeout = connection.connect_timeout or CONNECT
    policy = Verified(connection.host, connection.port, connection.ssh_config)
    connection.client.set_missing_host_key_policy(policy)
    connection.connect_kwargs = dict(connection.connect_kwargs, transport_factory=policy.transport)
    if isinstance(connection.gateway, Connection):
        _prepare(connection.gateway)


def _watch(transport: Any) -> None:
    """Asks for signs of life, and closes a connection that falls silent, which ends all calls."""
    while transport.is_active():
        silent = threading.Timer(SILENCE, transport.close)
        silent.daemon = True
        silent.start()
        with suppress(OSError, EOFError, paramiko.SSHException):
            transport.global_request("keepalive@openssh.com")
        silent.cancel()
        time.sleep(KEEP_ALIVE)


def _cannot_connect(label: str, connection: Connection, error: Exception) -> Exception:
    """Returns the sentence for what connecting raised, or the error itself where it is none."""
    match error:
        case paramiko.PasswordRequiredException():
            reason = "the key has a passphrase; use ssh-agent, or give --prompt-for-passphrase"
        case paramiko.AuthenticationException():
            reason = "it refuses user and key; give the right ones, fab -H user@host -i KEY"
        case paramiko.ssh_exception.NoValidConnectionsError():
            reason = f"nothing answers on port {connection.port}; is it started, and the port open?"
        case socket.gaierror():
            reason = "the name is unknown; check it"
        case TimeoutError():
            reason = "it did not answer in time; is it started, and the port open?"
        case FileNotFoundError():
            reason = f"there is no key file {error.filename}; check what -i names"
        case paramiko.SSHException() | OSError() | EOFError():
            reason = str(error) or "it closed the connection"
        case _:
            return error
    end = "" if reason.endswith(("?", ".")) else "."
    return CommandError(f"{label} can't be connected to: {reason}{end}")


def _sources() -> dict[str, str]:
    """Returns the source of every module of `deploy.remote`, by its name, the first used first."""
    order = ("base", "jobs", "environment", "trees", "versions")
    sources = {"deploy": "", "deploy.remote": ""}
    for name in order:
        sources[f"deploy.remote.{name}"] = (REMOTE / f"{name}.py").read_text(encoding="utf-8")
    return sources
