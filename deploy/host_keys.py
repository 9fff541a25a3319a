"""Host keys: the machine that answers must be the one that is known.

Fabric takes any key of any machine. Here the keys come from OpenSSH's own files, as its manual page
sshd(8) describes them under SSH_KNOWN_HOSTS FILE FORMAT; a key that has changed is refused, and one
that is new is asked about.
"""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import hmac
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import paramiko

from common.errors import CommandError
from common.files import cannot_write

USER_FILES = "~/.ssh/known_hosts ~/.ssh/known_hosts2"
GLOBAL_FILES = "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"


@dataclass(frozen=True)
class KnownKey:
    """A line of a known_hosts file that is about a host."""

    kind: str
    key: str
    place: str
    revoked: bool


def known_keys(host: str, port: int, files: Sequence[Path]) -> list[KnownKey]:
    """Returns what the files say of a host; lines of certificate authorities are left out."""
    name = host if port == 22 else f"[{host}]:{port}"
    found = []
    for file in files:
        if not file.is_file():
            continue
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        for number, line in enumerate(lines, 1):
            fields = line.split()
            marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
            if len(fields) < 3 or fields[0].startswith("#") or marker == "@cert-authority":
                continue
            with suppress(ValueError):  # a line that was cut off
                if _names(fields[0], name.lower()) and fingerprint(fields[2]):
                    place = f"{file}, line {number}"
                    found.append(KnownKey(fields[1], fields[2], place, marker == "@revoked"))
    return found


def _names(patterns: str, name: str) -> bool:
    """Tells whether the first field of a line, hashed or a list of patterns, names a host.

    Raises ValueError where it is malformed.
    """
    if patterns.startswith("|1|"):
        salt, digest = map(base64.b64decode, patterns.split("|")[2:])
        made = hmac.new(salt, name.encode(), hashlib.sha1).digest()
        return hmac.compare_digest(made, digest)
    matches = False
    for pattern in patterns.lower().split(","):
        without = pattern.removeprefix("!").replace("[", "[[]")
        if fnmatch.fnmatchcase(name, without):
            if pattern.startswith("!"):
                return False
            matches = True
    return matches


class Verified(paramiko.MissingHostKeyPolicy):
    """Takes the keys that are known for a host, and a new one after a yes.

    Parameters
    ----------
    host, port : what was connected to
    ssh_config : what OpenSSH's configuration says of the host, its keys in lower case; of it
        HostKeyAlias, UserKnownHostsFile, GlobalKnownHostsFile and StrictHostKeyChecking are heeded,
        the last of them where it is accept-new or yes.
    """

    def __init__(self, host: str, port: int, ssh_config: dict[str, str]) -> None:
        self.host = str(ssh_config.get("hostkeyalias", host))
        self.port = 22 if "hostkeyalias" in ssh_config else port
        user = str(ssh_config.get("userknownhostsfile", USER_FILES)).split()
        everyone = str(ssh_config.get("globalknownhostsfile", GLOBAL_FILES)).split()
        self.files = [Path(file).expanduser() for file in (*user, *everyone)]
        self.strict = str(ssh_config.get("stricthostkeychecking", "ask")).lower()
        self.known = known_keys(self.host, self.port, self.files)

    def transport(self, sock: object, **options: object) -> paramiko.Transport:
        """Makes a transport that asks for the kinds of keys that are known first, as OpenSSH."""
        transport = paramiko.Transport(sock, **options)
        security = transport.get_security_options()
        kinds = {known.kind for known in self.known if not known.revoked}
        kinds |= {"rsa-sha2-512", "rsa-sha2-256"} if "ssh-rsa" in kinds else set()
        security.key_types = sorted(security.key_types, key=lambda kind: kind not in kinds)
        return transport

    def missing_host_key(
        self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        """Called with every key, as the client itself knows none.

        Raises CommandError where it is not the host's.
        """
        kind, text = key.get_name(), key.get_base64()
        for known in self.known:
            if known.revoked and known.key == text:
                raise CommandError(
                    f"{hostname} shows a host key that is revoked in {known.place}; do not use it."
                )
        good = [known for known in self.known if not known.revoked]
        if any(known.key == text for known in good):
            return
        if good:
            expected = next((known for known in good if known.kind == kind), good[0])
            raise CommandError(
                f"The host key of {hostname} has changed: {expected.place} has "
                f"{fingerprint(expected.key)}, and the machine that answers shows "
                f"{key.fingerprint} ({kind}). It may be another machine, or someone in between. If "
                "you know that it was set up anew, remove the old key by "
                f"ssh-keygen -R '{hostname}' -f {expected.place.rpartition(', line')[0]}."
            )
        self._new(hostname, key)

    def _new(self, hostname: str, key: paramiko.PKey) -> None:
        shown = f"{hostname} is not known yet; its host key is {key.fingerprint} ({key.get_name()})"
        if self.strict in ("accept-new", "no", "off"):
            print(f"{shown}; it is accepted, as ssh's configuration says.", file=sys.stderr)
        elif self.strict == "yes" or not sys.stdin.isatty():
            raise CommandError(
                f"{shown}. Compare it with what the machine's owner or provider shows, and connect "
                "once by ssh, which remembers it; or set StrictHostKeyChecking accept-new for the "
                "host in ~/.ssh/config."
            )
        elif input(f"{shown}.\nIs that what its owner or provider shows? [yes/no] ") != "yes":
            raise CommandError(f"{hostname} was not connected to: its host key is not accepted.")
        _remember(self.files[0], self._line(key))

    def _line(self, key: paramiko.PKey) -> str:
        name = self.host if self.port == 22 else f"[{self.host}]:{self.port}"
        return f"{name} {key.get_name()} {key.get_base64()}\n"


def fingerprint(key: str) -> str:
    """Returns the fingerprint of a key in base64, as OpenSSH writes it."""
    digest = hashlib.sha256(base64.b64decode(key)).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _remember(file: Path, line: str) -> None:
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        before = file.read_text(encoding="utf-8") if file.is_file() else ""
        file.touch(mode=0o600)
        with file.open("a", encoding="utf-8") as known:
            known.write(("" if before.endswith("\n") or not before else "\n") + line)
    except OSError as error:
        raise cannot_write(file, error) from error
