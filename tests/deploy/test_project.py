"""What is sent of a checkout: nothing that is a machine's own, and nothing secret."""

import subprocess

import pytest

from deploy.project import read_project

KEYS = {
    "openssh": "-----BEGIN OPENSSH PRIVATE KEY-----\n",
    "keys/rsa": "\n-----BEGIN RSA PRIVATE KEY-----\n",
    "keys/pkcs8.pem": "-----BEGIN PRIVATE KEY-----\n",
    "keys/locked.pem": "-----BEGIN ENCRYPTED PRIVATE KEY-----\n",
    "putty.ppk": "PuTTY-User-Key-File-3: ssh-ed25519\n",
    ".env": "TOKEN=secret\n",
    "sub/.env": "TOKEN=secret\n",
}


@pytest.mark.parametrize("tracked", [True, False])
def test_no_secrets_and_nothing_of_a_machines_own(tmp_path, tracked):
    def git(*arguments: str) -> None:
        user = ["-c", "user.name=T", "-c", "user.email=t@localhost"]
        subprocess.run(["git", "-C", str(tmp_path), *user, *arguments], check=True)

    git("init", "--quiet")
    (tmp_path / ".gitignore").write_text("/data/\n/.venv/\n")
    git("add", ".gitignore")
    sent = {"openssh.pub": "ssh-ed25519 AAAA\n", "about.md": "No -----BEGIN PRIVATE KEY-----\n"}
    for name, text in (KEYS | sent).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    for link in ("data", "runs", ".venv"):
        (tmp_path / link).symlink_to("/elsewhere")
    if tracked:
        git("add", "--all")
    git("commit", "--quiet", "--message", "all")
    project = read_project(tmp_path, dirty=not tracked)
    assert set(project.files) == {".gitignore", *sent}
    assert project.secret == sorted(KEYS)
