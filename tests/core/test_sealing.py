"""Seals, the key file and the lock of access tokens: what opens, what does not, and that nothing is ever shown."""

import base64
import json
import os
import stat
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from nacl.public import PrivateKey, PublicKey, SealedBox

from tasty_pipeline.core import sealing
from tasty_pipeline.core.errors import ConfigurationError
from tasty_pipeline.core.sealing import KeyPair, Secrets, keys_if_any, new_pair, read_keys, seal, unseal, write_keys

REFRESH, CLIENT, ACCESS = "canary-refresh-2718", "canary-client-3141", "canary-access-1618"
SECRETS = Secrets(REFRESH, CLIENT)
BOUND = (CLIENT, REFRESH, "", "False")


def shown(error: BaseException) -> str:
    """Everything that a log, a trace or a debugger could show of an error."""
    return "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))


@pytest.fixture
def pair() -> KeyPair:
    return new_pair()


@pytest.mark.parametrize("secrets", [SECRETS, Secrets(REFRESH), Secrets("eyJ.ü.\U0001f511", "")])
def test_what_was_sealed_comes_out_again(pair: KeyPair, secrets: Secrets) -> None:
    sealed = seal(secrets, pair.key_id, pair.public_key)
    assert unseal(sealed, [new_pair(), pair]) == secrets
    assert sealing.key_id_of(sealed) == pair.key_id
    assert REFRESH not in sealed


def test_a_seal_made_by_another_program_opens(pair: KeyPair) -> None:
    """The format as the documentation of the table tells it, written without our code."""
    box = SealedBox(PublicKey(base64.b64decode(pair.public_key)))
    for told, meant in (
        ({"refresh_token": REFRESH}, Secrets(REFRESH)),
        ({"client_secret": CLIENT, "refresh_token": REFRESH, "later": 1}, SECRETS),
    ):
        text = base64.urlsafe_b64encode(box.encrypt(json.dumps(told).encode())).decode().rstrip("=")
        assert unseal(f"tp1.{pair.key_id}.{text}", [pair]) == meant


def test_two_seals_of_the_same_differ(pair: KeyPair) -> None:
    assert seal(SECRETS, pair.key_id, pair.public_key) != seal(SECRETS, pair.key_id, pair.public_key)


def test_a_key_that_is_not_there_is_named_and_says_what_to_do(pair: KeyPair) -> None:
    with pytest.raises(ConfigurationError, match=rf"sealed for the key {pair.key_id}.*TASTY_SEALING_KEYS.*again"):
        unseal(seal(SECRETS, pair.key_id, pair.public_key), [new_pair()])


def test_a_key_of_the_same_name_that_does_not_fit_is_a_damaged_seal(pair: KeyPair) -> None:
    other = KeyPair(pair.key_id, new_pair().private)
    with pytest.raises(
        ConfigurationError, match=r"damaged: the key \w+ does not open them.*connect it again"
    ) as caught:
        unseal(seal(SECRETS, pair.key_id, pair.public_key), [other])
    assert "canary" not in shown(caught.value)


def cut(text: str) -> str:
    return text[:-4]


def flipped(text: str) -> str:
    return text[:-6] + ("A" if text[-6] != "A" else "B") + text[-5:]


@pytest.mark.parametrize(
    "damage", [cut, flipped, lambda text: text + "!", lambda text: text[4:], lambda _: "", lambda text: text + "\n"]
)
def test_a_damaged_seal_is_one_clear_error(pair: KeyPair, damage: Callable[[str], str]) -> None:
    with pytest.raises(ConfigurationError, match=r"are damaged.*connections add"):
        unseal(damage(seal(SECRETS, pair.key_id, pair.public_key)), [pair])


@pytest.mark.parametrize(
    "held",
    [
        REFRESH,
        '{"refresh_token": "' + REFRESH,
        json.dumps(REFRESH),
        json.dumps({"client_secret": CLIENT}),
        json.dumps({"refresh_token": [REFRESH]}),
        json.dumps({"refresh_token": REFRESH, "client_secret": 1}),
    ],
)
def test_a_seal_over_something_else_shows_nothing_of_it(pair: KeyPair, held: str) -> None:
    box = SealedBox(PublicKey(base64.b64decode(pair.public_key))).encrypt(held.encode())
    with pytest.raises(ConfigurationError, match="damaged") as caught:
        unseal(f"tp1.{pair.key_id}.{base64.urlsafe_b64encode(box).decode().rstrip('=')}", [pair])
    assert "canary" not in shown(caught.value)


@pytest.mark.parametrize("public", ["", "nonsense", base64.b64encode(b"short").decode()])
def test_a_damaged_public_key_is_one_clear_error(public: str) -> None:
    with pytest.raises(ConfigurationError, match=r"public key 'k1'.*is damaged.*keygen --rotate") as caught:
        seal(SECRETS, "k1", public)
    assert "canary" not in shown(caught.value)


def test_no_repr_shows_a_secret(pair: KeyPair) -> None:
    text = repr(SECRETS) + str(SECRETS) + repr(pair)
    assert "canary" not in text
    assert base64.b64encode(pair.private).decode() not in text
    assert repr(pair.private) not in text


def test_the_key_file_keeps_the_pairs_in_their_order_and_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    path, pairs = tmp_path / "new" / "folder" / "keys", (new_pair(), new_pair())
    before = os.umask(0)
    try:
        write_keys(path, pairs)
    finally:
        os.umask(before)
    assert read_keys(path) == pairs
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["keys"]
    write_keys(path, pairs[:1])
    assert read_keys(path) == pairs[:1]


def test_a_key_file_written_by_hand_is_read(tmp_path: Path) -> None:
    private = bytes(PrivateKey.generate())
    path = tmp_path / "keys"
    path.write_text(f"\n2026-01 {base64.b64encode(private).decode()}  \n\n")
    path.chmod(0o400)
    assert read_keys(path) == (KeyPair("2026-01", private),)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "keys"
    link.symlink_to(tmp_path / "real" / "keys")
    write_keys(link, [new_pair()])
    assert link.is_symlink()
    assert len(read_keys(tmp_path / "real" / "keys")) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys"
    write_keys(path, [new_pair()])
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=r"read by others.*chmod 600"):
        read_keys(path)


def test_a_missing_key_file_says_where_it_should_be_and_how_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=rf"no key file {tmp_path}/keys.*TASTY_SEALING_KEYS.*keygen"):
        read_keys(tmp_path / "keys")
    assert keys_if_any(tmp_path / "keys") == ()


@pytest.mark.parametrize("text", ["", "\n", "k1", "k1 nonsense\n", "\x00\xff", f"k 1 {'A' * 43}=\n"])
def test_a_file_that_holds_no_key_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text, encoding="latin-1")
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match=r"(holds no|is no) key\. What to do: restore") as caught:
        read_keys(path)
    assert "nonsense" not in shown(caught.value)


def test_a_key_file_that_cannot_be_read_or_written_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_keys(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"cannot be written.*TASTY_SEALING_KEYS"):
        write_keys(tmp_path / "file" / "keys", [new_pair()])


def test_a_file_that_could_not_be_put_in_place_leaves_the_old_one_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, old = tmp_path / "keys", (new_pair(),)
    write_keys(path, old)

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(ConfigurationError, match="No space left"):
        write_keys(path, [new_pair(), *old])
    assert read_keys(path) == old
    assert [each.name for each in tmp_path.iterdir()] == ["keys"]


def test_a_token_opens_with_what_it_was_bought_with_and_with_nothing_else() -> None:
    locked = sealing.lock_token(ACCESS, bound_to=BOUND)
    assert sealing.open_token(locked, bound_to=BOUND) == ACCESS
    assert ACCESS not in locked
    for other in ((CLIENT, REFRESH, "", "True"), (CLIENT, "other", "", "False"), (CLIENT + REFRESH, "", "", "False")):
        assert sealing.open_token(locked, bound_to=other) is None


@pytest.mark.parametrize("damaged", ["", "nonsense", "AAAA", "=", "ü"])
def test_a_damaged_token_is_none(damaged: str) -> None:
    assert sealing.open_token(damaged, bound_to=BOUND) is None
