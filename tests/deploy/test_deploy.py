"""Deployment to a machine that is reached by a real sshd, with real keys, users and processes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.helpers import FILES, NAME, away, changed


def committed(fab) -> dict[str, str]:
    """The files of the last commit, and their hashes as git has them."""
    command = ["git", "-C", str(fab.folder), "ls-tree", "-r", "-z", "HEAD"]
    listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    entries = [line.split("\t") for line in listed.split("\0") if line]
    return {path: entry.split()[2] for entry, path in entries}


def hashed(folder, paths) -> dict[str, str]:
    """The hashes that git gives the files of a folder."""
    regular = [path for path in paths if not (folder / path).is_symlink()]
    command = ["git", "hash-object", "--no-filters", "--stdin-paths"]
    given = "\n".join(str(folder / path) for path in regular)
    result = subprocess.run(command, input=given, capture_output=True, check=True, text=True)
    return dict(zip(regular, result.stdout.split(), strict=True))


def test_a_machine_without_python_and_sudo(fab, rented):
    tools = rented.folder / "bare"
    tools.mkdir()
    for tool in ("sh", "bash", "id", "uname", "grep", "df", "awk", "sed", "dpkg-query"):
        where = subprocess.run(["which", tool], capture_output=True, text=True).stdout.strip()
        if where:
            (tools / tool).symlink_to(where)
    rented.restart(path=str(tools))
    try:
        output = fab("deploy", status=1)
    finally:
        rented.restart()
    assert re.search("no-such-package (is|are) missing, and .* has no sudo to install with", output)
    assert "has no Python of version 3.11 or newer that can make environments: no python3" in output
    assert "no-such-package'" in output
    assert not (rented.home / NAME).exists()


def test_from_nothing(deployed, fab, on_machine):
    assert re.search(
        r"no-such-package (is|are) missing, and sudo on throwaway\S+ wants a password: "
        "give --prompt-for-sudo-password",
        deployed,
    )
    assert "torch 2.13.0+cpu: there is no GPU" in deployed
    assert "all is well" in deployed
    here, there = committed(fab), on_machine(NAME)
    found = {
        Path(folder, name).relative_to(there.resolve()).as_posix()
        for folder, _, names in os.walk(there.resolve())
        for name in names
        if not folder.endswith("__pycache__")
    }
    assert found - {"deployed.json"} == set(here)
    same = hashed(there, [path for path in here if not path.endswith(".ipynb")])
    assert {path: here[path] for path in same} == same
    assert (there / "latest.md").readlink().name == "README.md"
    assert os.access(there / "manage.py", os.X_OK)
    assert not (there / ".git").exists()
    assert not list((there / "data").iterdir())
    assert not on_machine(f"{NAME}-prev").exists()


def test_notebooks_come_without_outputs(deployed, on_machine):
    notebook = json.loads((on_machine(NAME) / "notebooks" / "example.ipynb").read_text())
    text, code = notebook["cells"]
    assert text["source"] == ["kept"]
    assert code["source"] == ["print('printed')"]
    assert code["outputs"] == []
    assert code["execution_count"] is None


def test_the_environment_is_there(deployed, on_machine):
    python = on_machine(".virtualenvs") / NAME / "bin" / "python"
    assert python.exists()
    assert (python.parent / "pip").exists()


def test_again(deployed, fab, on_machine):
    before = on_machine(NAME).resolve()
    with changed(fab.folder / "new.txt", "new"):
        output = fab("deploy")
    assert "(1 uncommitted file stays here; --dirty sends it): nothing has changed" in output
    assert "environment  as it should be" in output
    assert "pip" not in output
    assert "~/bandcamp-deep-learning is this version already" in output
    assert on_machine(NAME).resolve() == before
    assert not on_machine(f"{NAME}-prev").exists()


def test_a_change_and_back(deployed, fab, rented, on_machine):
    first = on_machine(NAME).resolve()
    key = fab.folder / "rented_key"
    with changed(fab.folder / "new.txt", "new"), changed(key, rented.key.read_text()):
        dirty = fab("deploy", "--skip-env-setup", "--dirty")
    assert "-dirty, " in dirty
    assert "(left out, as private keys and passwords: rented_key)" in dirty
    assert ": sending 1, " in dirty
    assert (on_machine(NAME) / "new.txt").read_text() == "new"
    assert not (on_machine(NAME) / key.name).exists()
    assert on_machine(f"{NAME}-prev").resolve() == first
    assert "rolled back" in fab("rollback")
    assert on_machine(NAME).resolve() == first
    assert not (on_machine(NAME) / "new.txt").exists()
    assert on_machine(f"{NAME}-prev").resolve().name.endswith("-dirty")


def test_what_was_changed_there_is_mended(deployed, fab, on_machine):
    before = on_machine(NAME).resolve()
    (before / "manage.py").write_text("broken")
    assert ": sending 0, " in fab("deploy", "--skip-env-setup")  # the previous one has it
    assert on_machine(NAME).resolve() != before
    assert len(list(before.parent.iterdir())) == 2  # those before the previous one are gone
    assert (on_machine(NAME) / "manage.py").read_bytes() == (fab.folder / "manage.py").read_bytes()


def test_a_version_that_fails_its_check_is_not_used(deployed, fab, on_machine):
    before = on_machine(NAME).resolve()
    check = fab.folder / "commands" / "check.py"
    with changed(check, check.read_text() + "\nraise OSError('broken')\n"):
        command = fab.command("deploy", "--skip-env-setup", "--dirty")
        result = subprocess.run(
            command, cwd=fab.folder, env=fab.environment, capture_output=True, text=True
        )
    assert result.returncode == 1
    assert "manage.py check found something wrong on throwaway" in result.stderr
    assert "the version that was current stays so" in result.stderr
    assert on_machine(NAME).resolve() == before


def test_a_full_disk(deployed, fab, rented, on_machine):
    before = on_machine(NAME).resolve()
    incoming = on_machine(f"{FILES}/versions/incoming.partial")
    with changed(fab.folder / "new.txt", "new"), rented.small_disk(incoming, "1m"):
        output = fab("deploy", "--skip-env-setup", "--dirty", status=1)
    incoming.rmdir()
    assert "No space left on device; free some space there (df -h tells)." in output
    assert on_machine(NAME).resolve() == before
    with rented.small_disk(on_machine(f"{FILES}/data"), "1m"):
        large = fab.folder / "data" / "large.bin"
        large.write_bytes(bytes(2_000_000))
        output = fab("push-data", str(large), status=1)
        assert "2.0 MB are to come to ~/bandcamp-deep-learning-files/data and throwaway" in output
        assert "has 1.0 MB free there; free some space." in output
    with rented.small_disk(on_machine(f"{FILES}/environments"), "1m"):
        output = fab("deploy", status=1)
        assert "takes 2.0 GB while it is installed; free some space there." in output


def test_a_machine_without_python(fab, rented, deployed, on_machine):
    with away(on_machine(".virtualenvs")):
        rented.restart(path=str(rented.folder / "bare"))
        try:
            output = fab("jobs", status=1)
        finally:
            rented.restart()
    assert "has no Python that is new enough; 'fab deploy' tells what it lacks." in output


def test_a_folder_of_the_same_name_is_left_alone(fab, rented, deployed, on_machine):
    link = on_machine(NAME)
    kept = link.readlink()
    link.unlink()
    link.mkdir()
    try:
        output = fab("deploy", status=1)
    finally:
        link.rmdir()
        link.symlink_to(kept)
    assert "is a folder that was not deployed from here; move it away, then deploy." in output


@pytest.mark.parametrize("option", [["-u", "{user}"], ["--user={user}"]])
def test_the_originals_command_line(fab, rented, deployed, option):
    user = [word.format(user=rented.user) for word in option]
    start = [sys.executable, "-m", "fabric", "-i", str(rented.key)]
    command = [*start, "-H", f"127.0.0.1:{rented.port}", *user, "jobs"]
    assert f"{rented.user}@127.0.0.1" in fab.raw(command, 0)


def test_no_gpu(fab, deployed):
    output = fab("check-gpu", status=1)
    assert "has no NVIDIA GPU, or no driver: there is no nvidia-smi." in output
