"""A slice of the minutes; every one of them by the command."""

from .clock import NIGHTS, ZONES, search

# the other nights, zones and minutes by the command
CHANGE = {"duckdb": NIGHTS[0], "postgresql": NIGHTS[3]}


def test_today_the_partitions_the_ticks_and_the_lookback_are_new_yorks_on_a_machine_of_any_zone() -> None:
    tally = search(seed=7, every=30)
    assert not tally.broken, "\n".join(tally.broken[:20])
    assert tally.notes["minutes of the calendar"] > 40 * len(ZONES)
    assert tally.notes["ticks of schedules"] > 100 * len(ZONES)


def test_runs_of_machines_in_two_zones_find_and_prove_the_same_through_a_clock_change(warehouse_url: str) -> None:
    night = CHANGE[warehouse_url.partition(":")[0]]
    zones = ("America/Los_Angeles", "Asia/Kathmandu")
    tally = search(seed=7, every=90, database=warehouse_url, zones=zones, nights=[night])
    assert not tally.broken, "\n".join(tally.broken[:20])
    assert tally.notes["runs"] == 2 * tally.notes["runs that wrote nothing"] > 0
    assert tally.notes["transactions found"] >= tally.notes["runs that wrote nothing"]
    assert {zone for zone in zones for name in tally.notes if name.endswith(f"and {zone}")} == {*zones}
