"""Packages and environments on the machine: who may install, what fails, and what stays."""

import os
import pty
import re
import signal
import socket
import subprocess

import pytest

from tests.deploy.helpers import FILES, NAME, changed, until

PIP = ".config/pip/pip.conf"
NOTHING = "[global]\nno-index = true\n"
SUDO = """
echo "sudo $*" >> "$HOME/asked"
case $1 in
-n) test -e "$HOME/free" || exit 1; shift ;;
-S) shift 3; IFS= read -r password; echo "$password" > "$HOME/given"
    test "$password" = secret || exit 1 ;;
esac
exec "$@"
"""
APT = """
echo "apt-get $*" >> "$HOME/asked"
case $* in *install*) echo 'Unable to locate'; exit 100 ;; esac
"""
APT_GET = "apt-get -q -o DPkg::Lock::Timeout=300"
DONE = f"env DEBIAN_FRONTEND=noninteractive {APT_GET}"


@pytest.fixture
def asked(rented, on_machine):
    """What sudo and apt-get were asked for; they only write it down."""
    files = [on_machine(name) for name in ("asked", "given", "free")]
    with rented.tool("sudo", SUDO), rented.tool("apt-get", APT):
        yield files[0]
    for file in files:
        file.unlink(missing_ok=True)


def test_packages_with_sudo(fab, asked, on_machine):
    on_machine("free").touch()
    output = fab("deploy", status=1)
    assert re.search(r"packages     installing .*no-such-package", output)
    assert "Unable to locate" in output
    assert re.search(r"apt-get .* install --yes .*' failed with status 100; its message", output)
    lines = asked.read_text().splitlines()
    assert lines[0] == "sudo -n true"
    assert lines[1:3] == [f"sudo -n {DONE} update", f"{APT_GET} update"]
    assert re.fullmatch(f"sudo -n {DONE} install --yes .*no-such-package", lines[3])
    assert not on_machine("given").exists()


@pytest.mark.parametrize("password", ["secret", "mistaken"])
def test_a_password_for_sudo_is_asked_for_and_shown_nowhere(fab, asked, on_machine, password):
    terminal, its_end = pty.openpty()
    fabric = fab.command("--prompt-for-sudo-password", "deploy")
    with subprocess.Popen(
        fabric, cwd=fab.folder, env=fab.environment, stdin=its_end, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as deploying:  # fmt: skip
        said = b""
        while b"sudo.password" not in said:
            said += os.read(deploying.stdout.fileno(), 1000)
        os.write(terminal, f"{password}\n".encode())
        said += deploying.stdout.read()
    os.close(terminal)
    os.close(its_end)
    assert deploying.returncode == 1
    assert on_machine("given").read_text() == f"{password}\n"
    words = asked.read_text()
    assert f"sudo -S -p  {DONE} update" in words
    assert ("install --yes" in words) == (password == "secret")
    assert f"failed with status {100 if password == 'secret' else 1}; " in said.decode()
    assert password not in said.decode() + words


def test_an_environment_is_swapped_with_its_version(fab, deployed, rented, on_machine):
    place, pip = on_machine(f".virtualenvs/{NAME}"), on_machine(PIP)
    before = place.resolve(), on_machine(NAME).resolve()
    requirements = fab.folder / "requirements.txt"
    with changed(requirements, requirements.read_text() + "# changed\n"):
        with changed(pip, NOTHING):
            output = fab("deploy", "--dirty", status=1)
        assert "No matching distribution found for torch==2.13.0+cpu" in output
        assert re.search("pip install .*' failed with status 1; its message is above.", output)
        assert (place.resolve(), on_machine(NAME).resolve()) == before

        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            with changed(pip, f"{NOTHING}find-links = http://127.0.0.1:{port}/\n"):
                deploying = fab.start("deploy", "--dirty")
                until(lambda: rented.processes("-m pip install"))
                second = fab("deploy", "--dirty", status=1)
                deploying.send_signal(signal.SIGINT)
                said = deploying.communicate(timeout=60)[0]
        assert "Another deployment is under way there; wait for its end." in second
        assert deploying.returncode == 130, said
        until(lambda: not rented.processes("-m pip install"))

        fab("deploy", "--dirty")
        after = place.resolve()
        assert after != before[0]
        assert (after / "requirements.txt").read_text().endswith("# changed\n")
    with changed(pip, NOTHING):
        fab("rollback")
    assert (place.resolve(), on_machine(NAME).resolve()) == before
    assert after.is_dir()
    assert {*on_machine(f"{FILES}/environments").iterdir()} == {before[0], after}
