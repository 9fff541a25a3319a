"""Connections: one that falls silent, logins that run nothing, and what is sent to run there."""

import ast
import socket
import sys
import threading
import time
from contextlib import closing, suppress

import pytest
from fabric import Config, Connection
from paramiko import SSHConfig

from common.errors import CommandError
from deploy import machine as machines
from deploy.machine import REMOTE, ConnectionLost, Machine, connected
from tests.deploy.helpers import changed


class Line:
    """A line to a port of this machine, which can fall silent: then nothing comes, and no end."""

    def __init__(self, port: int) -> None:
        self.silent = False
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.ends = [self.server]
        threading.Thread(target=self._answer, args=(port,), daemon=True).start()

    def close(self) -> None:
        for end in self.ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _answer(self, port: int) -> None:
        near, far = self.server.accept()[0], socket.create_connection(("127.0.0.1", port))
        self.ends += [near, far]
        for pair in ((near, far), (far, near)):
            threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if not self.silent:
                    target.sendall(data)


def test_a_connection_that_falls_silent(fab, rented, monkeypatch):
    monkeypatch.setenv("HOME", str(fab.home))
    monkeypatch.setattr(machines, "KEEP_ALIVE", 0.2)
    monkeypatch.setattr(machines, "SILENCE", 1.0)
    line = Line(rented.port)
    known = rented.known_hosts.replace(str(rented.port), str(line.port))
    key = {"key_filename": str(rented.key)}
    connection = Connection("127.0.0.1", rented.user, line.port, connect_kwargs=key)
    with closing(line), changed(fab.known_hosts, known), connected(connection) as machine:
        assert connection.connect_timeout == machines.CONNECT
        assert machine.capture("sleep 2; echo awake") == "awake\n"  # longer than SILENCE
        silence = threading.Timer(0.5, setattr, (line, "silent", True))
        silence.start()
        start = time.monotonic()
        with pytest.raises(ConnectionLost, match="was lost"):
            machine.capture("sleep 60")
        assert time.monotonic() - start < 10


def test_a_login_that_only_prints(fab, rented):
    keys = rented.home / ".ssh" / "authorized_keys"
    command = "echo 'Please login as the user ubuntu'; exit 142"
    with changed(keys, f'command="{command}" {keys.read_text()}'):
        for task in ("jobs", "check-gpu"):
            asking = fab.start(task)
            said = asking.communicate(timeout=60)[0]
            assert asking.returncode == 1
            assert "lets this user run no commands: it says '" in said
            assert "Please login as the user ubuntu' and ends with status 142" in said


def test_a_dry_run_is_refused(fab):
    start = fab.command("deploy")
    output = fab.raw([*start[:3], "--dry", *start[3:]], 1)
    assert "leave --dry (-R) out" in output


@pytest.mark.parametrize(
    ("host", "options", "name", "again"),
    [
        ("gpu", {}, "gpu", "fab -H gpu"),
        ("gpu", {"user": "root"}, "gpu", "fab -H root@gpu"),
        ("gpu", {"port": 23}, "gpu-23", "fab -H gpu:23"),
        ("u@10.0.0.1", {}, "10.0.0.1", "fab -H u@10.0.0.1"),
        ("u@10.0.0.1:99", {}, "10.0.0.1-99", "fab -H u@10.0.0.1:99"),
    ],
)
def test_a_machine_is_called_as_the_user_calls_it(host, options, name, again):
    ssh_config = SSHConfig.from_text("Host gpu\n HostName 203.0.113.7\n User ubuntu\n Port 2222")
    for keys, given in (({}, ""), ({"key_filename": ["a key"]}, " -i 'a key'")):
        config = Config(ssh_config=ssh_config, overrides={"connect_kwargs": keys})
        machine = Machine(Connection(host, config=config, **options))
        assert machine.name == name
        assert machine.again == again + given


def test_what_is_sent_to_run_there_needs_python_alone():
    sources = machines._sources()
    order = [name.removeprefix("deploy.remote.") for name in sources][2:]
    assert set(order) == {file.stem for file in REMOTE.glob("*.py")} - {"__init__"}
    for number, name in enumerate(order):
        for node in ast.walk(ast.parse(sources[f"deploy.remote.{name}"])):
            if isinstance(node, ast.Import):
                found = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module == "deploy.remote":
                assert {alias.name for alias in node.names} <= set(order[:number])
                continue
            elif isinstance(node, ast.ImportFrom):
                found = {node.module}
            else:
                continue
            ours = {module for module in found if module.startswith("deploy.")}
            assert ours <= {f"deploy.remote.{before}" for before in order[:number]}
            others = {module.partition(".")[0] for module in found - ours}
            assert others <= sys.stdlib_module_names


def test_no_machine_is_named():
    with pytest.raises(CommandError, match="No machine is named"), connected(None):
        pass
