"""Locks for credentials: sealed boxes, the file of the private keys, and the lock of a kept access token.

Here belongs cryptography (libsodium, by PyNaCl) and the key file. What is sealed where in the database belongs to
`core.connections`. Nothing here ever puts a credential, a token or a private key into a repr or an error.

A seal is text: `tp1.<key_id>.<box>`. The box is base64url without padding of libsodium's `crypto_box_seal` over the
JSON `{"refresh_token": ..., "client_secret": ...}`, the second only where the login has an OAuth application of its
own. Whoever has the public key can seal; only the private half in the key file opens.
"""

import base64
import binascii
import hashlib
import json
import os
import re
import stat
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.secret import SecretBox

from tasty_pipeline.core.errors import ConfigurationError

_FORMAT = "tp1"
_SEAL = re.compile(r"tp1\.([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]+)")
_LINE = re.compile(r"([A-Za-z0-9_-]{1,64}) ([A-Za-z0-9+/]{43}=)")
_AGAIN = "connect it again with its refresh token: in the application, or with `tasty-pipeline connections add`."


@dataclass(frozen=True)
class KeyPair:
    """A key pair by its name; `private` are the 32 bytes that stand in the key file."""

    key_id: str
    private: bytes = field(repr=False)

    @property
    def public_key(self) -> str:
        """The public half in base64, as `tasty.sealing_keys` holds it."""
        return base64.b64encode(bytes(PrivateKey(self.private).public_key)).decode()


@dataclass(frozen=True)
class Secrets:
    """What a seal holds; `client_secret` is None where the pipeline's own OAuth application is meant."""

    refresh_token: str = field(repr=False)
    client_secret: str | None = field(default=None, repr=False)


def new_pair() -> KeyPair:
    """Make a key pair; its name is a digest of its public half."""
    key = PrivateKey.generate()
    return KeyPair(hashlib.blake2b(bytes(key.public_key), digest_size=6).hexdigest(), bytes(key))


def seal(secrets: Secrets, key_id: str, public_key: str) -> str:
    """Seal credentials with a public key in base64. Raises `ConfigurationError` for what is no key."""
    try:
        box = SealedBox(PublicKey(base64.b64decode(public_key, validate=True)))
    except (binascii.Error, ValueError, TypeError, CryptoError):
        raise ConfigurationError(
            f"The public key {key_id[:64]!r} in tasty.sealing_keys is damaged.",
            "make another one with `tasty-pipeline keygen --rotate`.",
        ) from None
    held = {"refresh_token": secrets.refresh_token, "client_secret": secrets.client_secret}
    told = json.dumps({name: value for name, value in held.items() if value is not None})
    text = base64.urlsafe_b64encode(box.encrypt(told.encode())).decode().rstrip("=")
    return f"{_FORMAT}.{key_id}.{text}"


def key_id_of(sealed: str) -> str | None:
    """Return the name of the key that a seal was made with, None for what is no seal."""
    found = _SEAL.fullmatch(sealed)
    return found[1] if found else None


def unseal(sealed: str, keys: Sequence[KeyPair]) -> Secrets:
    """Open a seal with whichever of the keys it names.

    Raises `ConfigurationError` for a seal whose key is not among them, and for one that is damaged.
    """
    found = _SEAL.fullmatch(sealed)
    if found is None:
        raise ConfigurationError("The stored credentials are damaged: they are no seal that is known here.", _AGAIN)
    key = next((pair for pair in keys if pair.key_id == found[1]), None)
    if key is None:
        raise ConfigurationError(
            f"The stored credentials were sealed for the key {found[1]}, which the key file does not hold.",
            "restore the key file that holds it (TASTY_SEALING_KEYS says where it is), or, where that key was rotated "
            f"away or lost, {_AGAIN}",
        )
    try:
        box = base64.urlsafe_b64decode(found[2] + "=" * (-len(found[2]) % 4))
        held = json.loads(SealedBox(PrivateKey(key.private)).decrypt(box))
        secrets = Secrets(held["refresh_token"], held.get("client_secret"))
        if not isinstance(secrets.refresh_token, str) or not isinstance(secrets.client_secret, str | None):
            raise TypeError("no text")  # noqa: TRY301 - one error for all of it
    except (CryptoError, ValueError, TypeError, KeyError, AttributeError):
        # from None: an error of the JSON parser holds the text that it read
        raise ConfigurationError(
            f"The stored credentials are damaged: the key {found[1]} does not open them.", _AGAIN
        ) from None
    return secrets


def read_keys(path: Path) -> tuple[KeyPair, ...]:
    """Read the key file, the newest pair first.

    Raises `ConfigurationError` where there is none, where others than its owner may read it, and for what is no key.
    """
    pairs = keys_if_any(path)
    if not pairs:
        raise ConfigurationError(
            f"There is no key file {path}.",
            "set TASTY_SEALING_KEYS to where it is; if there never was one, make it with `tasty-pipeline keygen`.",
        )
    return pairs


def keys_if_any(path: Path) -> tuple[KeyPair, ...]:
    """Read the key file as `read_keys` does, but return nothing where there is no file."""
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise ConfigurationError(
                    f"The key file {path} can be read by others than its owner.",
                    f"take that right away with `chmod 600 {path}`, and make a new pair with `tasty-pipeline keygen "
                    "--rotate` if somebody may have read it.",
                )
            lines = file.read().decode("ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigurationError(
            f"The key file {path} cannot be read ({error.strerror}).",
            "give it to the user that the pipeline runs as, with mode 600, or set TASTY_SEALING_KEYS to another place.",
        ) from None
    return _pairs(path, lines)


def _pairs(path: Path, lines: Sequence[str]) -> tuple[KeyPair, ...]:
    pairs = []
    for number, line in enumerate(lines, start=1):
        found = _LINE.fullmatch(line.strip())
        if found:
            pairs.append(KeyPair(found[1], base64.b64decode(found[2])))
        elif line.strip():
            raise ConfigurationError(
                f"Line {number} of the key file {path} is no key.",
                "restore the file from your backup; each line is a key's name, a blank and the key in base64.",
            )
    if not pairs:
        raise ConfigurationError(
            f"The key file {path} holds no key.",
            "restore it from your backup, or remove it and make a new pair with `tasty-pipeline keygen --rotate`.",
        )
    return tuple(pairs)


def write_keys(path: Path, pairs: Sequence[KeyPair]) -> None:
    """Put a key file in place in one step, readable by its owner only; a crash leaves the old one or the new one.

    Raises `ConfigurationError` where it cannot be written.
    """
    target = path.resolve()  # a link stays a link
    unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex[:12]}.unfinished")
    text = "".join(f"{pair.key_id} {base64.b64encode(pair.private).decode()}\n" for pair in pairs)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(target)
            _flush(target.parent)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The key file {path} cannot be written ({error.strerror}).",
            "let this user write the file's folder, or set TASTY_SEALING_KEYS to another place; nothing was changed.",
        ) from None


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock_token(token: str, *, bound_to: Sequence[str]) -> str:
    """Encrypt an access token with a key that is made of what it was bought with (`bound_to`: credentials, address)."""
    return base64.b64encode(_box(bound_to).encrypt(token.encode())).decode()


def open_token(locked: str, *, bound_to: Sequence[str]) -> str | None:
    """Return the access token, None where it was locked with anything else, or is damaged."""
    try:
        return _box(bound_to).decrypt(base64.b64decode(locked, validate=True)).decode()
    except (CryptoError, ValueError, TypeError):
        return None


def _box(bound_to: Sequence[str]) -> SecretBox:
    told = json.dumps(list(bound_to)).encode()
    return SecretBox(hashlib.blake2b(told, digest_size=SecretBox.KEY_SIZE, person=b"tasty-token-1").digest())
