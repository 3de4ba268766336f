"""Many devices on one mosquitto: who may say and hear what, and a password for each.

The list of access rights names every user: whoever is not in it has none, and a device reaches the topics of no other.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.errors import UsageError
from edge.mqtt.topics import Topics

PASSWORD_FILE = "mosquitto.passwd"  # noqa: S105  a name; the dot keeps it apart from a device's folder
SECRET_FILE = "mqtt__password"  # noqa: S105  likewise, as systemd's LoadCredential= hands it on
_PUBLISHED = ("availability", "event", "image", "status", "snapshot/+")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ITERATIONS = 101
_SALT_BYTES = 12
"""Both as mosquitto_passwd of mosquitto 2.0 has them. What is hashed here is random, so stretching it adds nothing."""
_PASSWORD_BYTES = 24


@dataclass(frozen=True, slots=True)
class Fleet:
    """Users of the broker. A device's user name is its `device_id`.

    Args:
        devices: each writes its own topics and hears whether Home Assistant has started.
        readers: hear everything that devices say.
        homeassistants: the same, and discovery; they say that Home Assistant has started.
        prefix: `mqtt.prefix` of all devices.
        discovery_prefix: `homeassistant.prefix` of all devices.

    Raises:
        UsageError: a name or a prefix cannot be one, a name has two roles, or nobody is named.
    """

    devices: tuple[str, ...]
    readers: tuple[str, ...] = ()
    homeassistants: tuple[str, ...] = ()
    prefix: str = "maskgate"
    discovery_prefix: str = "homeassistant"

    def __post_init__(self) -> None:
        for name in self.users:
            if not _NAME.fullmatch(name):
                raise UsageError(f"{name!r} cannot be a name: 1 to 64 letters, digits, _ and -")
            if self.users.count(name) > 1:
                raise UsageError(f"{name!r} has two roles; give each its own user")
        if not self.users:
            raise UsageError("nobody is named: give device ids, --devices FILE, --reader or --homeassistant")
        for prefix in (self.prefix, self.discovery_prefix):
            if not prefix.isprintable() or re.search(r"[#+]|^[$/ ]|^$|[/ ]$", prefix):
                raise UsageError(f"{prefix!r} cannot be a prefix of topics")

    @property
    def users(self) -> tuple[str, ...]:
        return *self.devices, *self.readers, *self.homeassistants

    def acl(self) -> str:
        """The text of mosquitto's `acl_file`."""
        birth = f"{self.discovery_prefix}/status"
        everyone = Topics(self.prefix, "+")
        blocks = ["# Made by `maskgate fleet acl`. Who is not named here may do nothing.\n"]
        for name in self.devices:
            own = [f"topic write {Topics(self.prefix, name).of(topic)}" for topic in _PUBLISHED]
            discovery = f"topic write {self.discovery_prefix}/device/{name}/config"
            blocks.append(_block(name, [*own, discovery, f"topic read {birth}"]))
        heard = [f"topic read {everyone.of(topic)}" for topic in _PUBLISHED]
        blocks += [_block(name, heard) for name in self.readers]
        both = [*heard, f"topic read {self.discovery_prefix}/#", f"topic write {birth}"]
        blocks += [_block(name, both) for name in self.homeassistants]
        return "\n".join(blocks)


def _block(user: str, rights: Iterable[str]) -> str:
    return "\n".join([f"user {user}", *rights, ""])


def read_names(file: Path) -> Iterator[str]:
    """Names from a file, one a line; empty lines and those that begin with # are passed over.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: is not text") from error
    return (line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))


def hash_password(password: str, salt: bytes | None = None) -> str:
    """As `mosquitto_passwd` writes it: PBKDF2 with SHA-512, marked `$7$`."""
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    return f"$7${_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"


@dataclass(frozen=True, slots=True)
class Issued:
    """What `issue_passwords` did. `strangers` have a password and are not of the fleet."""

    new: tuple[str, ...]
    kept: tuple[str, ...]
    strangers: tuple[str, ...]


def issue_passwords(users: Iterable[str], folder: Path) -> Issued:
    """Gives each user a password, unless it has one: in `folder/USER/mqtt__password`, and hashed in `mosquitto.passwd`.

    A user with a secret file keeps that password. One whose secret file is gone, for example because it has been handed
    over, keeps its hash. Lines of other users stay as they are.

    Raises:
        UsageError: the folder cannot be used, or one of the files in it is not what it should be.
    """
    file, users = folder / PASSWORD_FILE, tuple(users)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        before = _read_hashes(file)
        hashes = before | {user: _hash_for(folder / user / SECRET_FILE, before.get(user, "")) for user in users}
        if hashes != before:
            _write_hashes(file, hashes)
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from error
    return Issued(
        new=tuple(user for user in users if user not in before),
        kept=tuple(user for user in users if user in before),
        strangers=tuple(sorted(before.keys() - set(users))),
    )


def _hash_for(secret: Path, hashed: str) -> str:
    """The hash of what `secret` holds, which is made if neither it nor a hash is there."""
    if not secret.exists() and hashed:
        return hashed
    password = _read_secret(secret) if secret.exists() else _make_secret(secret)
    return hashed if _fits(password, hashed) else hash_password(password)


def _read_secret(file: Path) -> str:
    try:
        password = file.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: is not text; remove it, and a new one is made") from error
    if not password:
        raise UsageError(f"{file}: is empty; remove it, and a new one is made")
    return password


def _make_secret(file: Path) -> str:
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    file.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as opened:  # noqa: PTH123
        opened.write(password)
    return password


def _read_hashes(file: Path) -> dict[str, str]:
    """Name and hash of each line; a line that is neither is a mistake, for mosquitto would not start with it."""
    if not file.exists():
        return {}
    hashes = {}
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="surrogateescape").splitlines(), 1):
        name, colon, hashed = line.partition(":")
        if not (name and colon and hashed):
            raise UsageError(f"{file}: line {number} is not NAME:HASH")
        hashes[name] = hashed
    return hashes


def _write_hashes(file: Path, hashes: Mapping[str, str]) -> None:
    part = file.with_suffix(".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as opened:  # noqa: PTH123
        opened.writelines(f"{name}:{hashed}\n" for name, hashed in hashes.items())
    part.replace(file)


def _fits(password: str, hashed: str) -> bool:
    try:
        _, kind, iterations, salt, key = hashed.split("$")
        expected = hashlib.pbkdf2_hmac("sha512", password.encode(), base64.b64decode(salt), int(iterations))
        return kind == "7" and hmac.compare_digest(base64.b64decode(key), expected)
    except (ValueError, OverflowError):
        return False
