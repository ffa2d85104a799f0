"""Prices: one seeded walk for each product, whole ticks, the same for a day whatever has been asked before.

Integers and decimals only. Which instruments exist belongs to ``instruments``; who buys them to ``trader``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import isqrt
from random import Random

from tasty_pipeline.simulator.days import is_session
from tasty_pipeline.simulator.instruments import CRYPTO, SAME_WALK, Instrument, Product, product_of, read_symbol

_MICRO = 1000  # the walk moves in thousandths of a tick, so that cheap stocks are not stuck


@dataclass(frozen=True, slots=True)
class Split:
    """A change of share count on a day: ``new`` shares for ``old``."""

    root: str
    day: date
    new: int
    old: int


SPLITS: Mapping[str, Split] = {
    split.root: split for split in (Split("GE", date(2021, 8, 2), 1, 8), Split("NVDA", date(2024, 6, 10), 10, 1))
}


def _option_ticks(spot: int, strike: int, days: int, right: str, implied: int) -> int:
    """Return an option's price in ticks: intrinsic value plus a time value that fades away from the money."""
    intrinsic = max(0, spot - strike if right == "C" else strike - spot)
    at_money = spot * implied * isqrt(max(days, 0) * 1_000_000 // 365) * 4 // 1_000_000
    extrinsic = at_money * at_money // (at_money + 2 * abs(spot - strike)) if at_money else 0
    return max(intrinsic + extrinsic, 1 if days > 0 else 0)


class Market:
    """The prices of all instruments from the first day of the books on."""

    def __init__(self, seed: int, start: date) -> None:
        self._seed = seed
        self._origin = start.toordinal() - 10
        self._walks: dict[str, list[int]] = {}
        self._random: dict[str, Random] = {}
        self._marks: dict[tuple[str, date], Decimal] = {}

    def _level(self, product: Product, day: date) -> int:
        """Return the product's level at the close of a day, in thousandths of a tick, before splits."""
        root = product.root
        walk = self._walks.setdefault(root, [product.base * _MICRO])
        random = self._random.get(root)
        if random is None:
            random = self._random[root] = Random(f"{self._seed}/{root}")  # noqa: S311 - a reproducible market
        index = max(day.toordinal() - self._origin, 0)
        while len(walk) <= index:
            level = walk[-1]
            if product.kind == CRYPTO or is_session(date.fromordinal(self._origin + len(walk))):
                move = random.randint(-product.volatility, product.volatility) * 17 + 40
                level += level * move // 100_000 + (product.base * _MICRO - level) // 700
            walk.append(max(level, _MICRO * 20))
        return walk[index]

    def ticks(self, root: str, day: date) -> int:
        """Return the close of a root in whole ticks of its product, splits applied."""
        product = product_of(root)
        if root in {"XSP", "MES"}:
            scale = 10 if root == "XSP" else 1
            return self._level(product_of(SAME_WALK[root]), day) // _MICRO // scale
        level = self._level(product, day)
        split = SPLITS.get(root)
        if split and day >= split.day:
            level = level * split.old // split.new
        return max(level // _MICRO, 1)

    def mark(self, symbol: str, day: date) -> Decimal:
        """Return the closing price of any symbol on a day."""
        key = (symbol, day)
        price = self._marks.get(key)
        if price is None:
            price = self._marks[key] = self._price(read_symbol(symbol, day.year), day)
        return price

    def _price(self, instrument: Instrument, day: date) -> Decimal:
        product = instrument.product
        spot = self.ticks(product.root, day)
        if instrument.strike is None or instrument.expiry is None or instrument.right is None:
            return spot * product.tick
        strike = int(instrument.strike / product.tick)
        days = (instrument.expiry - day).days
        ticks = _option_ticks(spot, strike, days, instrument.right, product.implied)
        return ticks * product.tick
