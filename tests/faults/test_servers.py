"""A slice of the searches for what a database, a disk or a file in trouble does to a run."""

from . import damage, disks, servers


def test_a_postgres_in_trouble_while_a_run_publishes_ends_it_with_a_clear_error_or_not_at_all() -> None:
    troubles = ("crashed", "without room", "locked for a moment")
    found = servers.search(seed=1, moments=1, database="postgres", troubles=troubles, where=(340,), thorough=False)
    assert not found.broken, str(found)
    assert found.notes["runs that went on"] >= 1
    assert sum(count for what, count in found.notes.items() if what.startswith("ended with")) >= 1, str(found)


def test_a_new_file_on_a_full_disk_is_an_error_and_whole_once_there_is_room() -> None:
    found = disks.search(seed=5, sizes=1, thorough=False)
    assert not found.broken, str(found)
    assert found.notes["ended with WarehouseError"] >= 1, str(found)


def test_a_damaged_file_is_never_taken_for_the_truth() -> None:
    kinds = ("cut anywhere", "beside a cut log", "beside a log with garbage in it")
    found = damage.search(seed=1, tries=3, kinds=kinds, mended_every=0)
    assert not found.broken, str(found)
    assert found.notes["errors that say what to do"] >= 2, str(found)
