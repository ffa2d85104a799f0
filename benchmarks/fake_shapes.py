"""What the transactions of the fake API look like: one function for each kind of row, as text and net value.

Kinds, fields and symbols are those of the API's documentation and of captured answers; how often each kind occurs is a
guess at an active trader. Amounts are whole numbers here, so that sums are exact. Where rows lie belongs to
`fake_rows.py`.
"""

import random
from collections.abc import Callable

ACCOUNT = "5WT00001"
UNIT = 100_000  # amounts are counted in hundred-thousandths
Write = Callable[[int, str, str, random.Random], tuple[str, int]]


def amount_text(amount: int) -> str:
    """An unsigned decimal string as the API writes it: at least one decimal place, no exponent."""
    text = f"{amount // UNIT}.{amount % UNIT:05d}".rstrip("0")
    return text + "0" if text[-1] == "." else text


def effect(amount: int) -> str:
    """The word that carries an amount's sign."""
    return "Credit" if amount > 0 else "Debit" if amount < 0 else "None"


_ROOTS = ("SPY", "QQQ", "AAPL", "AMD", "NVDA", "TSLA", "MSFT", "IWM", "GLD", "TLT", "BRK/B", "F", "XLE", "META", "DIS")
_FUTURES = ("/ESZ4", "/NQZ4", "/CLF5", "/GCG5", "/6JM1", "/MESM6", "/ZBH5")
_ACTIONS = (
    ("Buy to Open", "Bought", -1),
    ("Sell to Open", "Sold", 1),
    ("Buy to Close", "Bought", -1),
    ("Sell to Close", "Sold", 1),
)
_CLEARING = tuple((amount_text(units), units) for units in (2000, 4000, 8000, 10000, 13000, 1200, 350))
_REGULATORY = tuple((amount_text(units), units) for units in (2115, 4231, 317, 1042, 88, 13000, 2600))
_COMMISSION = tuple((amount_text(units), units) for units in (0, 0, 100_000, 200_000, 300_000, 1_000_000))
_INDEX = (("0.0", 0), ("0.0", 0), ("0.0", 0), ("0.65", 65_000))
_EXCHANGES = ("CBOE", "ISE", "NASDAQ", "ARCA", "MIAX", "EDGX")


def writers(chance: random.Random) -> list[Write]:
    """The ways to write a row, each as often as its kind is among a hundred."""
    shares = [_instrument(root, "Equity", root) for root in _ROOTS]
    options = [_option(root, chance) for root in _ROOTS for _ in range(150)]
    futures = [_instrument(future, "Future", future) for future in _FUTURES]
    on_futures = [_future_option(future, strike, chance) for future in _FUTURES for strike in range(4000, 6000, 25)]
    return [
        *[_trade(shares)] * 30,
        *[_trade(options)] * 45,
        *[_trade(on_futures)] * 5,
        *[_trade(futures, worthless=True)] * 5,
        *[_expiration(options)] * 8,
        *[_money("Dividend", shares)] * 3,
        *[_money("Credit Interest", [])] * 2,
        *[_money("Balance Adjustment", [])] * 1,
        *[_money("Deposit", [])] * 1,
    ]


def _instrument(symbol: str, kind: str, underlying: str) -> tuple[str, str]:
    return symbol, f'"symbol":"{symbol}","instrument-type":"{kind}","underlying-symbol":"{underlying}",'


def _option(root: str, chance: random.Random) -> tuple[str, str]:
    year, month, day = chance.randrange(17, 27), chance.randrange(1, 13), chance.randrange(1, 29)
    strike = chance.randrange(50, 900) * 500
    symbol = f"{root.replace('/', ''):<6}{year}{month:02d}{day:02d}{chance.choice('CP')}{strike:08d}"
    return _instrument(symbol, "Equity Option", root)


def _future_option(future: str, strike: int, chance: random.Random) -> tuple[str, str]:
    product = f"{chance.choice(('E1A', 'EX', 'OGK'))}{future[-2:]}"
    symbol = f".{future} {product}  {chance.randrange(17, 27)}0427P{strike}"
    return _instrument(symbol, "Future Option", future)


def _trade(instruments: list[tuple[str, str]], *, worthless: bool = False) -> Write:
    hundredfold = 1 if instruments[0][1].find('"Equity"') > 0 else 100

    def write(identifier: int, moment: str, day: str, chance: random.Random) -> tuple[str, int]:
        draw = chance.random
        symbol, instrument = instruments[int(draw() * len(instruments))]
        action, verb, sign = _ACTIONS[int(draw() * 4)]
        quantity, cents = 1 + int(draw() * draw() * 40), 1 + int(draw() * draw() * 60_000)
        price = f"{cents // 100}.{cents % 100:02d}"
        value = 0 if worthless else sign * quantity * hundredfold * cents * (UNIT // 100)
        commission, clearing = _COMMISSION[int(draw() * 6)], _CLEARING[int(draw() * 7)]
        regulatory, index = _REGULATORY[int(draw() * 7)], _INDEX[int(draw() * 4)]
        net = value - commission[1] - clearing[1] - regulatory[1] - index[1]
        order = 20_000_000 + identifier // 3
        return (
            f'{{"id":{identifier},"account-number":"{ACCOUNT}",{instrument}"transaction-type":"Trade",'
            f'"transaction-sub-type":"{action}","description":"{verb} {quantity} {symbol} @ {price}",'
            f'"action":"{action}","quantity":"{quantity}.0","price":"{price}","executed-at":"{moment}","transaction-date":"{day}",'
            f'"value":"{amount_text(abs(value))}","value-effect":"{effect(value)}",'
            f'"regulatory-fees":"{regulatory[0]}","regulatory-fees-effect":"Debit",'
            f'"clearing-fees":"{clearing[0]}","clearing-fees-effect":"Debit",'
            f'"commission":"{commission[0]}","commission-effect":"{"Debit" if commission[1] else "None"}",'
            f'"proprietary-index-option-fees":"{index[0]}",'
            f'"proprietary-index-option-fees-effect":"{"Debit" if index[1] else "None"}",'
            f'"net-value":"{amount_text(abs(net))}","net-value-effect":"{effect(net)}",'
            f'"is-estimated-fee":true,"ext-exchange-order-number":"{order * 7}{identifier % 97:02d}",'
            f'"ext-global-order-number":{order % 100_000},"ext-group-id":"{identifier % 9}",'
            f'"ext-group-fill-id":"{order:x}{identifier % 4096:03x}","ext-exec-id":"{identifier % 1_000_000}",'
            f'"exec-id":"{moment[:10]}-{identifier}","exchange":"{_EXCHANGES[identifier % 6]}","order-id":{order},'
            f'"exchange-affiliation-identifier":"","leg-count":{1 + identifier % 4},'
            f'"destination-venue":"CITADEL_{"ABC"[identifier % 3]}",'
            f'"created-at":"{moment[:20]}{identifier % 1000:03d}+00:00","currency":"USD"}}'
        ), net

    return write


def _expiration(instruments: list[tuple[str, str]]) -> Write:
    def write(identifier: int, moment: str, day: str, chance: random.Random) -> tuple[str, int]:
        symbol, instrument = instruments[int(chance.random() * len(instruments))]
        quantity = 1 + int(chance.random() * 10)
        return (
            f'{{"id":{identifier},"account-number":"{ACCOUNT}",{instrument}"transaction-type":"Receive Deliver",'
            f'"transaction-sub-type":"Expiration","description":"Removal of {quantity} {symbol} due to expiration.",'
            f'"quantity":"{quantity}.0","executed-at":"{moment}","transaction-date":"{day}",'
            f'"value":"0.0","value-effect":"None","net-value":"0.0","net-value-effect":"None",'
            f'"is-estimated-fee":true,"created-at":"{moment[:20]}{identifier % 1000:03d}+00:00","currency":"USD"}}'
        ), 0

    return write


def _money(sub_type: str, instruments: list[tuple[str, str]]) -> Write:
    def write(identifier: int, moment: str, day: str, chance: random.Random) -> tuple[str, int]:
        instrument = instruments[int(chance.random() * len(instruments))][1] if instruments else ""
        amount = int((chance.random() - 0.3) * 10_000_000) // 1000 * 1000
        text, sign = amount_text(abs(amount)), effect(amount)
        return (
            f'{{"id":{identifier},"account-number":"{ACCOUNT}",{instrument}"transaction-type":"Money Movement",'
            f'"transaction-sub-type":"{sub_type}","description":"{sub_type.upper()} of {day}","executed-at":"{moment}",'
            f'"transaction-date":"{day}","value":"{text}","value-effect":"{sign}","net-value":"{text}",'
            f'"net-value-effect":"{sign}","is-estimated-fee":true,'
            f'"created-at":"{moment[:20]}{identifier % 1000:03d}+00:00","currency":"USD"}}'
        ), amount

    return write
