"""Host keys: read as OpenSSH reads them, and a machine with another key is not connected to."""

import os
import pty
import shutil
import subprocess

import pytest

from deploy.host_keys import fingerprint, known_keys


def make_key(folder, name) -> tuple[str, str]:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
    subprocess.run(command, check=True)
    kind, key, *_ = (folder / f"{name}.pub").read_text().split()
    return kind, key


@pytest.fixture
def known_hosts(tmp_path):
    """A file with a line of every sort, half of it hashed."""
    if not shutil.which("ssh-keygen"):
        pytest.skip("ssh-keygen is not installed")
    keys = [" ".join(make_key(tmp_path, f"key{n}")) for n in range(7)]
    file = tmp_path / "known_hosts"
    file.write_text(f"plain.example.org,10.0.0.1 {keys[0]}\n[plain.example.org]:2222 {keys[1]}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True)
    assert "plain" not in file.read_text()
    with file.open("a") as lines:
        lines.write(
            f"# a comment\n\nbroken\n*.example.org,!bad.example.org {keys[2]} its comment\n"
            f"plain.example.org {keys[3]}\n@revoked plain.example.org {keys[4]}\n"
            f"@cert-authority *.example.org {keys[5]}\n[127.0.0.1]:* {keys[6]}\n"
        )
    return file


@pytest.mark.parametrize(
    ("host", "port", "count"),
    [
        ("plain.example.org", 22, 4),
        ("PLAIN.example.org", 22, 4),
        ("10.0.0.1", 22, 1),
        ("plain.example.org", 2222, 1),
        ("bad.example.org", 22, 0),
        ("other.example.org", 22, 1),
        ("127.0.0.1", 35195, 1),
        ("elsewhere", 22, 0),
    ],
)
def test_the_same_lines_as_openssh_finds(known_hosts, host, port, count):
    name = host if port == 22 else f"[{host}]:{port}"
    command = ["ssh-keygen", "-F", name.lower(), "-f", str(known_hosts)]
    found = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    theirs = [line.split() for line in found if not line.startswith("#")]
    theirs = [fields for fields in theirs if fields[0] != "@cert-authority"]
    ours = known_keys(host, port, [known_hosts])
    assert len(ours) == count
    assert [key.key for key in ours] == [
        fields[3 if fields[0] == "@revoked" else 2] for fields in theirs
    ]
    assert [key.revoked for key in ours] == [fields[0] == "@revoked" for fields in theirs]


def test_lines_that_were_cut_off_are_left_out(tmp_path):
    file = tmp_path / "known_hosts"
    lines = ["|1|", "|1|abc", "|1|a|b|c", "|1|abcde|AAAA", "host", "host ssh-ed25519"]
    lines = [f"{line} ssh-ed25519 AAAA" for line in lines[:4]] + lines[4:]
    file.write_text("\n".join([*lines, "host ssh-ed25519 AAAAC", "host ssh-ed25519 AAAA"]))
    assert [key.place for key in known_keys("host", 22, [file])] == [f"{file}, line 8"]


def test_the_fingerprint_is_openssh_s(tmp_path):
    if not shutil.which("ssh-keygen"):
        pytest.skip("ssh-keygen is not installed")
    _, key = make_key(tmp_path, "key")
    command = ["ssh-keygen", "-l", "-f", str(tmp_path / "key.pub")]
    assert fingerprint(key) in subprocess.run(command, capture_output=True, text=True).stdout


def test_an_unknown_machine_is_refused_without_a_terminal(fab, rented):
    fab.known_hosts.write_text("")
    try:
        output = fab("jobs", status=1)
    finally:
        fab.known_hosts.write_text(rented.known_hosts)
    shown = fingerprint(rented.known_hosts.split()[2])
    assert f"[127.0.0.1]:{rented.port} is not known yet; its host key is {shown}" in output
    assert "StrictHostKeyChecking accept-new" in output


def test_an_unknown_machine_is_remembered_where_the_configuration_accepts_it(fab, rented):
    fab.known_hosts.write_text("elsewhere ssh-rsa AAAA")
    config = fab.home / ".ssh" / "config"
    config.write_text("Host 127.0.0.1\n  StrictHostKeyChecking accept-new\n")
    try:
        assert "it is accepted, as ssh's configuration says" in fab("jobs")
        assert fab.known_hosts.read_text().endswith("AAAA\n" + rented.known_hosts)
        assert "accepted" not in fab("jobs")
    finally:
        config.unlink()
        fab.known_hosts.write_text(rented.known_hosts)


@pytest.mark.parametrize(("answer", "status"), [("yes", 0), ("no", 1)])
def test_an_unknown_machine_is_asked_about_on_a_terminal(fab, rented, answer, status):
    fab.known_hosts.unlink()
    terminal, its_end = pty.openpty()
    try:
        os.write(terminal, f"{answer}\n".encode())
        result = subprocess.run(
            fab.command("jobs"), cwd=fab.folder, env=fab.environment, stdin=its_end,
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        remembered = fab.known_hosts.read_text() if fab.known_hosts.is_file() else ""
    finally:
        os.close(terminal)
        os.close(its_end)
        fab.known_hosts.write_text(rented.known_hosts)
    assert result.returncode == status
    assert fingerprint(rented.known_hosts.split()[2]) in result.stdout
    assert remembered == (rented.known_hosts if answer == "yes" else "")


def test_a_changed_key_stops_with_the_reason(fab, rented):
    old = rented.known_hosts
    rented.make_key(rented.folder / "host_key")
    rented.restart()
    fab.known_hosts.write_text("# mine\n" + old)
    try:
        output = fab("deploy", status=1)
        command = output[output.index("ssh-keygen") : -2]
        assert f"The host key of [127.0.0.1]:{rented.port} has changed" in output
        assert f"{fab.known_hosts}, line 2 has {fingerprint(old.split()[2])}" in output
        assert f"shows {fingerprint(rented.known_hosts.split()[2])} (ssh-ed25519)" in output
        subprocess.run(command, shell=True, check=True, capture_output=True)
        assert fab.known_hosts.read_text().strip() == "# mine"
        fab.known_hosts.write_text(f"@revoked {rented.known_hosts}")
        assert "host key that is revoked in" in fab("jobs", status=1)
    finally:
        fab.known_hosts.write_text(rented.known_hosts)
    fab("jobs")


def test_another_kind_of_key_first_in_the_file_does_no_harm(fab, rented, tmp_path):
    name = f"[127.0.0.1]:{rented.port}"
    rsa = tmp_path / "rsa"
    command = ["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", str(rsa)]
    subprocess.run(command, check=True)
    kind, key, *_ = rsa.with_suffix(".pub").read_text().split()
    fab.known_hosts.write_text(f"{name} {kind} {key}\n{rented.known_hosts}")
    try:
        fab("jobs")
    finally:
        fab.known_hosts.write_text(rented.known_hosts)


def test_the_machines_on_the_way_are_verified_too(fab, rented):
    config = fab.home / ".ssh" / "config"
    config.write_text(
        f"Host inner\n  HostName 127.0.0.1\n  Port {rented.port}\n  User {rented.user}\n"
        f"  ProxyJump {rented.user}@localhost:{rented.port}\n"
    )
    try:
        refused = fab("jobs", status=1, host="inner")
        assert f"[localhost]:{rented.port} is not known yet" in refused
        fab.known_hosts.write_text(
            rented.known_hosts + rented.known_hosts.replace("127.0.0.1", "localhost")
        )
        assert f"{rented.user}@127.0.0.1:{rented.port}" in fab("jobs", host="inner")
    finally:
        config.unlink()
        fab.known_hosts.write_text(rented.known_hosts)


def test_what_can_t_be_connected_to(fab, rented, tmp_path):
    nowhere = fab("jobs", status=1, host="nobody@127.0.0.1:1")
    assert "can't be connected to: nothing answers on port 1" in nowhere
    user = fab("jobs", status=1, host=f"nobody@127.0.0.1:{rented.port}")
    assert "it refuses user and key" in user
    unknown = fab("jobs", status=1, host="nobody@no-such-host.invalid")
    assert "the name is unknown; check it." in unknown
    without = [*fab.command("jobs")[:3], "jobs"]
    assert "name it by fab -H user@host, before the task." in fab.raw(without, 1)
    missing = [*fab.command("jobs")[:5], "-i", str(tmp_path / "no-key"), "jobs"]
    assert f"there is no key file {tmp_path / 'no-key'}" in fab.raw(missing, 1)
    locked = tmp_path / "locked"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(locked)]
    subprocess.run(command, check=True)
    output = fab.raw([*fab.command("jobs")[:5], "-i", str(locked), "jobs"], 1)
    assert "use ssh-agent, or give --prompt-for-passphrase" in output
    assert "secret" not in output
    assert os.environ.get("HOME") != str(fab.home)
