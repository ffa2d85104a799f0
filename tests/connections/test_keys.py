"""The key pair: made once, rotated, and never lost whatever dies."""

import threading
from typing import Any

import pytest

from tasty_pipeline.core import connections, schema, sealing
from tasty_pipeline.core.connections import (
    keys,
    mark_active,
    mark_refused,
    refused_before,
)
from tasty_pipeline.core.errors import ConfigurationError
from tasty_pipeline.core.sealing import Secrets
from tasty_pipeline.core.settings import Settings
from tasty_pipeline.core.warehouse import Warehouse

from .stored import ALICE, BOB, REFUSAL, change, later, login, row, rows


def held(settings: Settings) -> list[str]:
    return [pair.key_id for pair in sealing.read_keys(settings.sealing_keys)]


def current(warehouse: Warehouse) -> list[str]:
    return [each["key_id"] for each in rows(warehouse, schema.sealing_keys) if each["retired_at"] is None]


def test_a_key_is_made_once(warehouse: Warehouse, settings: Settings) -> None:
    name = connections.make_key(warehouse, settings.sealing_keys)
    assert held(settings) == current(warehouse) == [name]
    public = rows(warehouse, schema.sealing_keys)[0]["public_key"]
    assert public == sealing.read_keys(settings.sealing_keys)[0].public_key
    with pytest.raises(ConfigurationError, match=rf"a key already: {name}.*keygen --rotate"):
        connections.make_key(warehouse, settings.sealing_keys)
    settings.sealing_keys.unlink()
    with pytest.raises(ConfigurationError, match=rf"sealed for the key {name}.*does not hold.*restore.*--rotate"):
        connections.make_key(warehouse, settings.sealing_keys)
    assert not settings.sealing_keys.exists()


def test_a_keygen_that_died_between_file_and_table_is_finished_by_the_next(
    warehouse: Warehouse, settings: Settings
) -> None:
    pair = sealing.new_pair()
    sealing.write_keys(settings.sealing_keys, [pair])
    assert connections.make_key(warehouse, settings.sealing_keys) == pair.key_id
    assert current(warehouse) == held(settings) == [pair.key_id]


def test_a_rotation_seals_everything_anew_and_changes_nothing_else(keyed: Warehouse, settings: Settings) -> None:
    connections.add(keyed, "alice", ALICE, owner="1")
    connections.add(keyed, "bob", BOB, owner="2")
    connections.add(keyed, "zoe", BOB, owner="3")
    connections.disconnect(keyed, "zoe")
    mark_active(keyed, login(keyed, settings, "alice"))
    mark_refused(keyed, login(keyed, settings, "bob"), REFUSAL)
    connections.keep_token(keyed, login(keyed, settings, "alice"), later(9))
    before = rows(keyed, schema.connections)
    old = held(settings)[0]
    done = connections.rotate_key(keyed, settings.sealing_keys)
    assert (done.resealed, done.unopened) == (2, ())
    assert held(settings) == [done.key_id, old]
    assert current(keyed) == [done.key_id]
    after = rows(keyed, schema.connections)
    for now, then in zip(after, before, strict=True):
        assert {**now, "sealed_credentials": 0} == {**then, "sealed_credentials": 0}
        assert (now["sealed_credentials"] is None) == (then["sealed_credentials"] is None)
        assert then["sealed_credentials"] is None or now["sealed_credentials"] != then["sealed_credentials"]
    assert {sealing.key_id_of(each["sealed_credentials"]) for each in after if each["sealed_credentials"]} == {
        done.key_id
    }
    assert login(keyed, settings, "bob").credentials.client_secret == "canary-client-bob"
    assert refused_before(login(keyed, settings, "bob")) is not None
    assert connections.kept_token(login(keyed, settings, "alice")) == later(9)


def test_the_key_before_is_kept_until_the_next_rotation(keyed: Warehouse, settings: Settings) -> None:
    connections.add(keyed, "alice", ALICE, owner="1")
    with keyed.read() as reader:
        state = connections.key_state(reader, settings.sealing_keys)
    first = held(settings)[0]
    assert (state.current, state.held, state.missing) == (first, (first,), frozenset())
    public = rows(keyed, schema.sealing_keys)[0]["public_key"]
    second = connections.rotate_key(keyed, settings.sealing_keys).key_id
    # an application had read the public key before
    change(keyed, "alice", sealed_credentials=sealing.seal(BOB, first, public))
    assert login(keyed, settings, "alice").credentials.client_secret == "canary-client-bob"
    third = connections.rotate_key(keyed, settings.sealing_keys)
    assert third.resealed == 1
    assert held(settings) == [third.key_id, second]
    assert login(keyed, settings, "alice").credentials.client_secret == "canary-client-bob"
    change(keyed, "alice", sealed_credentials=sealing.seal(BOB, first, public))
    with pytest.raises(ConfigurationError, match=rf"key {first}, which the key file does not hold.*rotated\s+away"):
        login(keyed, settings, "alice")
    with keyed.read() as reader:
        assert connections.key_state(reader, settings.sealing_keys).missing == {first}


def test_what_cannot_be_opened_is_named_and_left_and_does_not_hold_up_the_others(
    keyed: Warehouse, settings: Settings
) -> None:
    connections.add(keyed, "alice", ALICE, owner="1")
    connections.add(keyed, "bob", BOB, owner="2")
    change(keyed, "bob", sealed_credentials="tp1.lost.AAAA")
    done = connections.rotate_key(keyed, settings.sealing_keys)
    assert (done.resealed, done.unopened) == (1, ("bob",))
    assert row(keyed, "bob")["sealed_credentials"] == "tp1.lost.AAAA"
    assert login(keyed, settings, "alice").credentials.refresh_token == "canary-refresh-alice"


def test_a_lost_key_file_is_replaced_by_a_rotation(keyed: Warehouse, settings: Settings) -> None:
    connections.add(keyed, "alice", ALICE, owner="1")
    settings.sealing_keys.unlink()
    done = connections.rotate_key(keyed, settings.sealing_keys)
    assert done.unopened == ("alice",)
    assert held(settings) == current(keyed) == [done.key_id]
    connections.add(keyed, "alice", ALICE, owner="1")
    assert login(keyed, settings, "alice")


class Died(Exception):  # noqa: N818 - the process is gone
    pass


@pytest.mark.parametrize("last_step", ["write", "reseal", "publish", "commit", "forget"])
def test_whatever_step_of_a_rotation_dies_every_seal_still_opens(
    keyed: Warehouse, settings: Settings, last_step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections.add(keyed, "alice", ALICE, owner="1")
    connections.add(keyed, "bob", BOB, owner="2")

    def die(*_: object, **__: object) -> None:
        raise Died

    target = {"write": "write_keys", "reseal": "_reseal", "publish": "_publish", "forget": "_forget_old"}
    if last_step == "commit":
        publish_key = keys._publish  # noqa: SLF001 - the last step before the commit
        monkeypatch.setattr(keys, "_publish", lambda *given: (publish_key(*given), die()))
    else:
        monkeypatch.setattr(keys, target[last_step], die)
    with pytest.raises(Died):
        connections.rotate_key(keyed, settings.sealing_keys)
    monkeypatch.undo()
    assert login(keyed, settings, "alice").credentials.refresh_token == "canary-refresh-alice"
    assert login(keyed, settings, "bob").credentials.client_secret == "canary-client-bob"
    assert set(current(keyed)) <= set(held(settings))
    again = connections.rotate_key(keyed, settings.sealing_keys)
    assert again.resealed == 2
    assert held(settings)[0] == again.key_id
    assert len(held(settings)) == 2
    assert login(keyed, settings, "alice").credentials.refresh_token == "canary-refresh-alice"
    assert [each.name for each in settings.sealing_keys.parent.iterdir()] == ["file"]


def test_rotations_at_the_same_time_leave_a_file_that_opens_everything(keyed: Warehouse, settings: Settings) -> None:
    connections.add(keyed, "alice", ALICE, owner="1")
    start, made = threading.Barrier(3), []

    def rotate() -> None:
        start.wait()
        made.append(connections.rotate_key(keyed, settings.sealing_keys).key_id)

    threads = [threading.Thread(target=rotate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 3
    assert current(keyed) == [held(settings)[0]]
    assert login(keyed, settings, "alice").credentials.refresh_token == "canary-refresh-alice"


@pytest.mark.parametrize("warehouse", ["postgres"], indirect=True)  # a DuckDB file has one writer at a time
def test_credentials_stored_during_a_rotation_are_not_overwritten(
    keyed: Warehouse, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections.add(keyed, "alice", ALICE, owner="1")
    first = rows(keyed, schema.sealing_keys)[0]
    unseal = keys.unseal

    def meanwhile(*given: Any) -> Secrets:
        change(keyed, "alice", sealed_credentials=sealing.seal(BOB, first["key_id"], first["public_key"]))
        return unseal(*given)

    monkeypatch.setattr(keys, "unseal", meanwhile)
    assert connections.rotate_key(keyed, settings.sealing_keys).resealed == 0
    assert login(keyed, settings, "alice").credentials.client_secret == "canary-client-bob"
