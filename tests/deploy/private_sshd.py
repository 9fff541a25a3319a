"""A rented machine on this one: sshd on 127.0.0.1 with a throw-away user, home and keys.

The daemon has mounts of its own (unshare): there the user may read this test's Python and its
packages wherever they lie, and a disk can be filled. Nothing of that is seen outside, and all of it
goes with the daemon. A GPU of this machine is hidden there.
"""

import contextlib
import importlib.metadata
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SSHD = Path("/usr/sbin/sshd")
CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile none
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowUsers {user}
AuthorizedKeysFile {home}/.ssh/authorized_keys
PrintMotd no
SetEnv PATH={path} OMP_NUM_THREADS=1 CUDA_VISIBLE_DEVICES=-1
"""
NO_GPU = """
for program in /usr/bin/nvidia-smi /bin/nvidia-smi; do
    if test -e $program; then mount --bind /dev/null $program; fi
done
"""


def why_not() -> str:
    """Returns what keeps the machine from being made here, empty where nothing does."""
    if not sys.platform.startswith("linux"):
        return "this is no Linux"
    if os.geteuid() != 0:
        return "it needs root, to make a user and to mount"
    for program in (SSHD, "useradd", "userdel", "unshare", "nsenter", "ssh-keygen"):
        if not shutil.which(program):
            return (
                f"{program} is not installed (Debian: openssh-server, openssh-client, util-linux)"
            )
    mounts = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    if subprocess.run(mounts, capture_output=True).returncode:
        return "mounts are forbidden here"
    return ""


class PrivateSshd:
    """The machine.

    Attributes
    ----------
    user, home, port
    key : the user's private key
    known_hosts : a line for it
    tools : a folder of programs that come before the system's
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.chmod(0o755)
        self.user = f"throwaway{os.getpid()}"
        self.home = folder / "home"
        self.key = folder / "key"
        self.tools = folder / "tools"
        self.tools.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        command = ["useradd", "--no-create-home", "--home-dir", str(self.home), "--password", "*"]
        subprocess.run([*command, "--shell", "/bin/bash", self.user], check=True)
        self.uid = pwd.getpwnam(self.user).pw_uid
        for key in (self.key, folder / "host_key"):
            self.make_key(key)
        self._make_home()
        self.daemon = self._start()

    @property
    def known_hosts(self) -> str:
        kind, key, *_ = (self.folder / "host_key.pub").read_text().split()
        return f"[127.0.0.1]:{self.port} {kind} {key}\n"

    def make_key(self, file: Path) -> None:
        file.unlink(missing_ok=True)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)]
        subprocess.run(command, check=True)

    def restart(self, path: str = "") -> None:
        """Ends the daemon and all connections, and starts it again, with the host key there is.

        `path` is where the user finds programs, this test's Python and the system's unless given.
        """
        self._end()
        self.daemon = self._start(path)

    def processes(self, containing: str = "") -> dict[int, str]:
        """The command lines of the user's processes, and of the daemon's for them."""
        found = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    mine = folder.stat().st_uid == self.uid or f"sshd: {self.user}" in command
                    if command and mine and containing in command:
                        found[int(folder.name)] = command
        return found

    def signal(self, process: int, number: int) -> None:
        """Sends one of the user's processes a signal, if it is still there."""
        assert process > 1
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)

    def drop_connections(self) -> None:
        """Cuts every connection, as a network does: their daemons die, and nobody is told."""
        for process in self.processes("sshd: "):
            self.signal(process, signal.SIGKILL)

    @contextmanager
    def small_disk(self, folder: Path, size: str) -> Iterator[None]:
        """Lays a small file system over a folder of the machine's for as long as it lasts."""
        folder.mkdir(parents=True, exist_ok=True)
        owner = f"size={size},uid={self.uid},mode=755"
        self._in_its_mounts("mount", "-t", "tmpfs", "-o", owner, "none", str(folder))
        try:
            yield
        finally:
            self._in_its_mounts("umount", "--lazy", str(folder))

    @contextmanager
    def tool(self, name: str, script: str) -> Iterator[None]:
        """Puts a shell script in the place of a program for as long as it lasts."""
        tool = self.tools / name
        tool.write_text(f"#!/bin/sh\n{script}")
        tool.chmod(0o755)
        try:
            yield
        finally:
            tool.unlink()

    def close(self) -> None:
        self._end()
        subprocess.run(["userdel", self.user], check=True, capture_output=True)

    def _make_home(self) -> None:
        ssh, pip = self.home / ".ssh", self.home / ".config" / "pip"
        wheels = self.folder / "wheels"
        for folder in (ssh, pip, wheels):
            folder.mkdir(parents=True)
        shutil.copy(self.key.with_name("key.pub"), ssh / "authorized_keys")
        thin_wheels(wheels)
        (pip / "pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {wheels}\n")
        (self.home / "large disk").mkdir()
        (self.home / "bandcamp-deep-learning-files").symlink_to(self.home / "large disk")
        (self.home / ".bashrc").write_text("echo 'Welcome to your GPU!'\n")
        (self.home / ".profile").write_text("echo 'Welcome to your GPU!'\n")
        subprocess.run(["chown", "-R", f"{self.user}:", str(self.home)], check=True)

    def _start(self, path: str = "") -> subprocess.Popen[bytes]:
        readable = [Path(sys.base_prefix), Path(sysconfig.get_path("purelib"))]
        python = Path(sys.base_prefix) / "bin"
        config = self.folder / "sshd_config"
        config.write_text(
            CONFIG.format(
                port=self.port,
                folder=self.folder,
                user=self.user,
                home=self.home,
                path=path or f"{self.tools}:{python}:/usr/bin:/bin",
            )
        )
        script = "\n".join(
            ["set -e", "mkdir -p /run/sshd", NO_GPU, *mounts(readable, self.folder / "mounts")]
        )
        log = (self.folder / "sshd.log").open("ab")
        daemon = subprocess.Popen(
            ["unshare", "--mount", "bash", "-c", f"{script}\nexec {SSHD} -D -e -f {config}"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        log.close()
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except ConnectionRefusedError:
                assert daemon.poll() is None, (self.folder / "sshd.log").read_text()
                assert time.monotonic() < deadline, "sshd does not answer"
                time.sleep(0.05)
            else:
                return daemon

    def _end(self) -> None:
        self.daemon.terminate()
        self.daemon.wait()
        deadline = time.monotonic() + 10
        while (processes := self.processes()) and time.monotonic() < deadline:
            for process in processes:
                self.signal(process, signal.SIGKILL)
            time.sleep(0.02)

    def _in_its_mounts(self, *command: str) -> None:
        enter = ["nsenter", "--mount", f"--target={self.daemon.pid}"]
        subprocess.run([*enter, *command], check=True, capture_output=True)


def mounts(readable: list[Path], folder: Path) -> list[str]:
    """The shell commands that let another user read some folders, wherever they lie.

    An ancestor that only root may enter gets an empty file system over it, with the folders in it.
    """
    commands, covered = [], {}
    for number, path in enumerate(readable):
        kept = folder / str(number)
        commands += [f"mkdir -p '{kept}'", f"mount --bind '{path}' '{kept}'"]
        closed = [parent for parent in path.parents if not parent.stat().st_mode & 0o001]
        if closed:
            covered[closed[-1]] = True
    commands += [f"mount -t tmpfs -o mode=755 none '{parent}'" for parent in covered]
    for number, path in enumerate(readable):
        if any(parent in covered for parent in path.parents):
            commands += [f"mkdir -p '{path}'", f"mount --bind '{folder / str(number)}' '{path}'"]
    return commands


def thin_wheels(folder: Path) -> None:
    """Makes a wheel of every package here, with its true description, and no content.

    torch's has one line, which lets the environment find what is installed here. So pip resolves
    and installs for real, in seconds and without a network; what the packages do is this test's.
    """
    for distribution in importlib.metadata.distributions(path=[sysconfig.get_path("purelib")]):
        name = distribution.metadata["Name"].replace("-", "_")
        version = distribution.version
        if name == "torch":
            version = version.partition("+")[0] + "+cpu"
        description = distribution.read_text("METADATA") or ""
        description = description.replace(
            f"\nVersion: {distribution.version}", f"\nVersion: {version}", 1
        )
        stem = f"{name}-{version}"
        files = {
            f"{stem}.dist-info/METADATA": description,
            f"{stem}.dist-info/WHEEL": (
                "Wheel-Version: 1.0\nGenerator: thin\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            ),
        }
        if name == "torch":
            files["elsewhere.pth"] = sysconfig.get_path("purelib") + "\n"
        record = f"{stem}.dist-info/RECORD"
        files[record] = "".join(f"{file},,\n" for file in [*files, record])
        with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
            for file, text in files.items():
                wheel.writestr(file, text)


@contextmanager
def private_sshd() -> Iterator[PrivateSshd]:
    with tempfile.TemporaryDirectory(prefix="rented-") as folder:
        machine = PrivateSshd(Path(folder))
        try:
            yield machine
        finally:
            machine.close()
