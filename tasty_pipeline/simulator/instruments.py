"""What can be traded: symbols, contract sizes, ticks, fees' classes, corporate actions' names.

Symbols are built and read here and nowhere else. How prices move belongs to ``market``.
"""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache

from tasty_pipeline.simulator.days import SATURDAY, is_session, third_friday

EQUITY, OPTION, FUTURE = "Equity", "Equity Option", "Future"
FUTURE_OPTION, CRYPTO = "Future Option", "Cryptocurrency"
ONE = Decimal(1)
_DEAR = 10_000
HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True)
class Product:
    """A root that has a price of its own: base price in ticks, tick, daily volatility in basis points."""

    root: str
    kind: str
    base: int
    tick: Decimal
    volatility: int
    multiplier: Decimal = ONE
    implied: int = 25
    step: int = 100
    year_digits: int = 1
    months: str = "HMUZ"
    option_code: str = ""


def _products() -> dict[str, Product]:
    cent = Decimal("0.01")
    equities = [("AAPL", 13000, 170), ("SPY", 39000, 100), ("QQQ", 32000, 130), ("IWM", 19000, 140), ("KO", 5200, 90)]
    equities += [("T", 2200, 110), ("BRK/B", 23500, 100), ("F", 1100, 230), ("NVDA", 52000, 260), ("GE", 1080, 180)]
    equities += [("FB", 26500, 210), ("TSM", 11500, 180), ("TWTR", 5300, 190), ("AMD", 9100, 280), ("XYZL", 3100, 200)]
    listed = [
        Product(n, EQUITY, p, cent, v, implied=15 + v // 8, step=100 if p < _DEAR else 500) for n, p, v in equities
    ]
    listed += [
        Product("SPX", "Index", 390000, cent, 100, implied=17, step=2500),
        Product("XSP", "Index", 39000, cent, 100, implied=17, step=100),
        Product("BTC/USD", CRYPTO, 4_200_000, cent, 350),
        Product("ETH/USD", CRYPTO, 210_000, cent, 420),
        Product("ES", FUTURE, 15800, Decimal("0.25"), 100, Decimal(50), 17, 20, option_code="EW3"),
        Product("MES", FUTURE, 15800, Decimal("0.25"), 100, Decimal(5), 17, 20, option_code="EX3"),
        Product("GC", FUTURE, 18500, Decimal("0.1"), 110, HUNDRED, 16, 50, months="GJMQZ", option_code="OG"),
        Product("CL", FUTURE, 6900, cent, 230, Decimal(1000), 35, 50, months="FGHJKMNQUVXZ", option_code="LO"),
        Product("NG", FUTURE, 2900, Decimal("0.001"), 330, Decimal(10000), 55, 50, 2, "FGHJKMNQUVXZ", "LNE"),
        Product("6J", FUTURE, 18500, Decimal("0.0000005"), 60, Decimal(12_500_000), 10, 50, option_code="JPU"),
    ]
    return {product.root: product for product in listed}


PRODUCTS = _products()
#: Two names of one company: the walk of the old name carries on under the new one.
SAME_WALK = {"META": "FB", "XSP": "SPX", "MES": "ES"}
INDEX_ROOTS = {"SPXW": "SPX", "SPX": "SPX", "XSP": "XSP"}
MONTHS = "FGHJKMNQUVXZ"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One symbol, read: its product, size, and for derivatives expiry, strike and right."""

    symbol: str
    kind: str
    product: Product
    underlying: str
    multiplier: Decimal
    expiry: date | None = None
    strike: Decimal | None = None
    right: str | None = None

    @property
    def cash_settled(self) -> bool:
        """Index options settle in cash."""
        return self.kind == OPTION and self.product.kind == "Index"


def product_of(root: str) -> Product:
    """Return the product of a root; a name never seen becomes an ordinary stock with a price of its own."""
    if root in PRODUCTS:
        return PRODUCTS[root]
    if root in SAME_WALK:
        return PRODUCTS[SAME_WALK[root]]
    base = 1500 + sum(ord(letter) * 37 for letter in root) % 30000
    return Product(root, EQUITY, base, Decimal("0.01"), 180, implied=35)


_OCC = re.compile(r"^(?P<root>.{6})(?P<date>\d{6})(?P<right>[CP])(?P<strike>\d{8})$")
_FUTURE_OPTION = re.compile(r"^\./(?P<future>.{5})(?P<code>.{5}) (?P<date>\d{6})(?P<right>[CP])(?P<strike>[\d.]+)$")
_FUTURE = re.compile(r"^/(?P<root>[A-Z0-9]+?)(?P<month>[FGHJKMNQUVXZ])(?P<year>\d{1,2})$")


def _yymmdd(text: str) -> date:
    return date(2000 + int(text[:2]), int(text[2:4]), int(text[4:]))


@lru_cache(maxsize=50_000)
def read_symbol(symbol: str, year: int) -> Instrument:
    """Read a symbol. ``year`` settles the decade of one-digit futures years: the next such year from it on."""
    if match := _OCC.match(symbol):
        root = match["root"].strip()
        product = product_of(INDEX_ROOTS.get(root, root.rstrip("1")))
        return Instrument(
            symbol, OPTION, product, INDEX_ROOTS.get(root, root), HUNDRED,
            _yymmdd(match["date"]), Decimal(match["strike"]) / 1000, match["right"],
        )  # fmt: skip
    if match := _FUTURE_OPTION.match(symbol):
        future = read_symbol("/" + match["future"].strip(), year)
        return Instrument(
            symbol, FUTURE_OPTION, future.product, future.symbol, future.multiplier,
            _yymmdd(match["date"]), Decimal(match["strike"]), match["right"],
        )  # fmt: skip
    if match := _FUTURE.match(symbol):
        digits = len(match["year"])
        full = next(y for y in range(year, year + 100) if y % 10**digits == int(match["year"]))
        product = product_of(match["root"])
        return Instrument(
            symbol, FUTURE, product, f"/{product.root}", product.multiplier,
            third_friday(full, MONTHS.index(match["month"]) + 1),
        )  # fmt: skip
    if symbol.endswith("/USD"):
        return Instrument(symbol, CRYPTO, product_of(symbol), symbol, ONE)
    return Instrument(symbol, EQUITY, product_of(symbol), symbol, ONE)


def option_symbol(root: str, expiry: date, right: str, strike: Decimal) -> str:
    """Return the 21 characters of an equity or index option."""
    return f"{root:<6}{expiry:%y%m%d}{right}{int(strike * 1000):08d}"


def future_symbol(product: Product, day: date) -> str:
    """Return the contract traded on a day: the first whose last day is at least ten days away."""
    year = day.year
    while True:
        for code in product.months:
            expiry = third_friday(year, MONTHS.index(code) + 1)
            if expiry > day + timedelta(days=10):
                return f"/{product.root}{code}{year % 10**product.year_digits:0{product.year_digits}d}"
        year += 1


def future_option_symbol(future: str, product: Product, expiry: date, right: str, strike: Decimal) -> str:
    """Return a future option's symbol: future and option code padded to five each, spaces that mean something."""
    code = f"{product.option_code}{MONTHS[expiry.month - 1]}{expiry.year % 10}"[:5]
    return f"./{future[1:]:<5}{code:<5} {expiry:%y%m%d}{right}{format(strike.normalize(), 'f')}"


def trades_on(kind: str, day: date) -> bool:
    """Crypto trades every day, the rest in sessions."""
    return kind == CRYPTO or (day.weekday() < SATURDAY and is_session(day))
