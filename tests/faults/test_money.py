"""A slice of the amounts; a million by the command."""

from .amounts import WAYS
from .money import search

SEEN = {*(f"spelled: {way}" for way in WAYS), "zeros with a minus", "in JSON", "effect: None", "effect: Debit"}
SEEN |= {"refused: a digit too many", "refused: no certain sign", "other last digits, seen and mended"}
SEEN |= {"pages read quickly", "pages read by the judge"}


def test_every_amount_comes_back_digit_for_digit_or_is_refused_with_its_payload(warehouse_url: str) -> None:
    tally = search(seed=20_261_120, amounts=4_000, database=warehouse_url)
    assert not tally.broken, "\n".join(tally.broken[:20])
    assert tally.tried >= 4_000
    assert all(tally.notes[name] for name in SEEN), str(tally)
