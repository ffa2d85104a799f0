"""Amounts of every magnitude, the ways in which JSON spells them, and answers of the API full of them.

Here belongs what is sent and what must come of it. That is text: sign, digits, point and the column's twelve places,
laid out from the same digits as the JSON. No parser and no arithmetic has a part in it, nor anything of the pipeline.
"""

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Any

import sqlalchemy as sa
from broker.loopback import Answer, Asked
from core.pages import Page

from tasty_pipeline.core import schema

DAY = date(2026, 11, 20)
WHOLE, PLACES = 26, 12  # digits before and after the point that every amount's column has
LONGEST = 60  # JSON columns hold numbers of more digits
# of each table the column that tells its rows apart here
TABLES = {"transactions": "transaction_id", "positions": "symbol"}
TABLES |= {"balances": "currency", "balance_snapshots": "currency"}
_SIGNED = {f"{fee}-fees" for fee in ("clearing", "regulatory", "proprietary-index-option", "currency-conversion")}
_SIGNED |= {"value", "net-value", "commission", "other-charge", "realized-day-gain", "realized-today"}
_SIGNED |= {"pending-cash", "buying-power-adjustment"}
_EFFECTS = {key: f"{key}-effect" for key in _SIGNED} | {
    "unsettled-cryptocurrency-fiat-amount": "unsettled-cryptocurrency-fiat-effect",
    "intraday-equities-cash-amount": "intraday-equities-cash-effect",
    "intraday-futures-cash-amount": "intraday-futures-cash-effect",
    "previous-day-cryptocurrency-fiat-amount": "previous-day-cryptocurrency-fiat-effect",
}
_REQUIRED = {"transactions": {"value", "net-value"}, "positions": {"quantity"}}
_ACTIONS = {"Buy": "", "Buy to Open": "", "Sell": "-", "Sell to Close": "-", "Allocate": None}
# digits before and after the point
_EDGES = [("", ""), ("9" * WHOLE, "9" * PLACES), ("9" * WHOLE, ""), ("", "9" * PLACES), ("", "0" * 11 + "1")]
_EDGES += [("1" + "0" * 25, ""), ("1" + "0" * 25, "0" * 11 + "1"), ("9007199254740993", ""), ("", "1"), ("", "3")]
_BEYOND = [("1" + "0" * WHOLE, ""), ("9" * (WHOLE + 1), "9" * PLACES), ("9" * 36, ""), ("", "0" * PLACES + "1")]
_BEYOND += [("", "9" * 13), ("9" * WHOLE, "9" * PLACES + "5"), ("1", "0" * 11 + "05"), ("", "0" * 40 + "1")]
# what Arrow, which the quick path reads with, takes for another number and says nothing
_UNNOTICED = [("9" * (WHOLE + 1), "9" * PLACES), ("9" * 36, "")]
WAYS = ("plain", "long", "exponent", "small exponent", "number", "number with exponent")

Payload = dict[str, Any]


class Number(str):
    """What JSON spells without quotation marks."""

    __slots__ = ()


@dataclass(frozen=True)
class Amount:
    """The digits of a number, without zeros that say nothing, and the JSON that is sent for it."""

    negative: bool
    whole: str
    places: str
    sent: str

    @property
    def is_zero(self) -> bool:
        return not self.whole and not self.places

    def stored(self, minus: bool) -> str:
        """As a column of twelve places shows it; there is one zero."""
        return f"{'-' if minus and not self.is_zero else ''}{self.whole or '0'}.{self.places:0<{PLACES}}"

    def in_json(self) -> str:
        """As a JSON column keeps it: a text as it came, a number with all its digits."""
        if self.sent.startswith('"'):
            return self.sent[1:-1]
        sign, point = "-" if self.negative and not self.is_zero else "", "." if self.places else ""
        return Number(f"{sign}{self.whole or '0'}{point}{self.places}")


def _spelled(chance: random.Random, way: str, negative: bool, whole: str, places: str) -> Amount:
    """Spell digits in one of `WAYS`, with some zeros that say nothing."""
    lead, trail = chance.randint(0, 2), chance.randint(0, 2)
    if way == "plain":  # no more digits than the column has: what the quick path reads
        lead, trail = min(lead, max(WHOLE - len(whole), 0)), min(trail, max(PLACES - len(places), 0))
    sign, some, many = "-" if negative else "", "0" * trail, "0" * trail * 7
    bare, digits = whole or "0", (whole + places).lstrip("0") or "0"
    e = chance.choice("eE")
    sent = {
        "plain": lambda: f'"{sign}{"0" * lead if whole else ""}{bare}{_fraction(places + some)}"',
        "long": lambda: f'"{sign or chance.choice(("", "+"))}{"0" * lead * 9}{bare}{_fraction(places + many)}"',
        "exponent": lambda: f'"{sign}0.{whole}{places}0{some}{e}{chance.choice(("", "+"))}{len(whole)}"',
        "small exponent": lambda: f'"{sign}{digits}{e}-{len(places)}"',
        "number": lambda: f"{sign}{bare}{_fraction(places + some)}",
        "number with exponent": lambda: f"{sign}{digits}{e}-{len(places):02}",
    }[way]()
    return Amount(negative, whole, places, sent)


def _fraction(places: str) -> str:
    return f".{places}" if places else ""


def _digits(chance: random.Random, length: int) -> str:
    return str(chance.randrange(10 ** (length - 1), 10**length)) if length else ""


def _drawn(chance: random.Random, way: str, whole: int = WHOLE, places: int = PLACES) -> Amount:
    """Draw an amount of up to so many digits: every number of them is as likely as any other."""
    if chance.random() < 0.1:
        digits = chance.choice(_EDGES)
    else:
        digits = _digits(chance, chance.randint(0, whole)), _digits(chance, chance.randint(0, places))[::-1]
    return _spelled(chance, way, chance.random() < 0.1, *digits)


def columns(table: str) -> dict[str, str]:
    """The columns of amounts that a payload fills, and the key of each."""
    found = [column.name for column in schema.MIRRORED[table].columns if isinstance(column.type, sa.Numeric)]
    keys = {name: name.replace("_", "-") for name in found}
    if table == "transactions":
        del keys["quantity"]  # made of the unsigned one and the action
        keys["quantity_unsigned"] = "quantity"
    return keys


class Kind(Enum):
    """What a sheet holds.

    Nothing that the quick path leaves to the judge; beside that amounts of one sort that only its own look can notice:
    such as no column holds, or such as have no certain sign; or everything.
    """

    PLAIN = "plain"
    TOO_LONG = "too long"
    NO_SIGN = "no sign"
    ANY = "any"


_SHARE_REFUSED = {Kind.PLAIN: 0, Kind.TOO_LONG: 0.05, Kind.NO_SIGN: 0.05, Kind.ANY: 0.1}


@dataclass
class Sheet:
    """The answers about one account: of its rows, by name, those in `held` must come back, those in `refused` not."""

    account: str
    kind: Kind
    chance: random.Random
    payloads: dict[str, list[Payload]] = field(default_factory=lambda: {name: [] for name in TABLES})
    held: dict[str, dict[str, Payload]] = field(default_factory=lambda: {name: {} for name in TABLES})
    refused: dict[str, dict[str, tuple[str, Payload]]] = field(default_factory=lambda: {name: {} for name in TABLES})
    notes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.ways = WAYS if self.kind is Kind.ANY else WAYS[:1]
        self.beyond = _BEYOND if self.kind is Kind.ANY else _UNNOTICED

    def fill(self, amounts: int, first: int) -> "Sheet":
        """Draw rows of every table until they have about so many amounts."""
        for table in TABLES:
            for number in range(max(amounts // len(TABLES) // len(columns(table)), 1)):
                self._add(table, str(first + number) if table == "transactions" else f"{table[0].upper()}{number}")
        return self

    def answer(self, asked: Asked) -> Answer:
        """Answer as the API does; every list fits one page."""
        return Answer(self.body(asked.path, asked.query.get("time-of-day")))

    def body(self, path: str, time_of_day: str | None = None) -> bytes:
        """Spell the list at a path."""
        rows = self.payloads.get(path.rpartition("/")[2].replace("-", "_"), [])
        chosen = [row for row in rows if not time_of_day or row["time-of-day"] == time_of_day]
        return Page([[(json.dumps(key), _json(value)) for key, value in row.items()] for row in chosen]).body()

    def _add(self, table: str, name: str) -> None:
        payload, held = self._bare(table, name), {}
        for column, key in columns(table).items():
            if key in _REQUIRED.get(table, ()) or self.chance.random() < 0.9:
                payload[key] = amount = self._amount(table, key)
                held[column] = amount.stored(self._effect(payload, key, amount))
        held |= _signed_quantity(table, payload)
        if self.kind is Kind.ANY and self.chance.random() < 0.2:
            payload["surcharge"] = amount = _drawn(self.chance, self.chance.choice(WAYS), LONGEST, LONGEST)
            held["extra"] = {"surcharge": amount.in_json()}
        self.payloads[table].append(payload)
        if self.chance.random() < _SHARE_REFUSED[self.kind]:
            self.refused[table][name] = self._spoil(table, payload), payload
        else:
            self.held[table][name] = held

    def _bare(self, table: str, name: str) -> Payload:
        row: Payload = {"account-number": self.account}
        if table == "transactions":
            row |= {"id": int(name), "transaction-type": "Trade", "transaction-sub-type": "Buy"}
            row |= {"executed-at": f"{DAY}T15:00:00.000+00:00", "transaction-date": f"{DAY}"}
            return row | {"action": self.chance.choice(list(_ACTIONS))}
        if table == "positions":
            row |= {"symbol": name, "instrument-type": "Equity"}
            return row | {"quantity-direction": self.chance.choice(("Long", "Short"))}
        return row | {"currency": name, "snapshot-date": f"{DAY}", "time-of-day": self.chance.choice(("BOD", "EOD"))}

    def _amount(self, table: str, key: str) -> Amount:
        way = self.chance.choice(self.ways)
        while True:
            found = _drawn(self.chance, way)
            nothing, negative = found.is_zero, found.negative and not found.is_zero
            if key == "quantity" and (negative or (nothing and table == "positions")):
                continue  # is refused: a position of nothing is none
            self.notes[f"spelled: {way}"] += 1
            self.notes["zeros"] += found.is_zero
            self.notes["zeros with a minus"] += found.is_zero and found.negative
            return found

    def _effect(self, payload: Payload, key: str, amount: Amount) -> bool:
        """Give an amount an effect, where its key has one; return whether it is negative.

        A debit is, whatever stands before its digits; only zero has neither effect.
        """
        if key not in _EFFECTS:
            return amount.negative
        words = ("Debit", "Credit", "None", None) if amount.is_zero else ("Debit", "Credit")
        chosen = "Debit" if amount.negative and not amount.is_zero else self.chance.choice(words)
        payload |= {_EFFECTS[key]: chosen} if chosen else {}
        self.notes[f"effect: {chosen}"] += 1
        return chosen == "Debit"

    def _spoil(self, table: str, payload: Payload) -> str:
        """Make one amount one that no column holds, or that has no certain sign; return its key."""
        chance, kind, keys = self.chance, self.kind, [each for each in columns(table).values() if each in payload]
        signed = [each for each in keys if each in _EFFECTS]
        if signed and (kind is Kind.NO_SIGN or (kind is Kind.ANY and chance.random() < 0.3)):
            key, negative = chance.choice(signed), chance.random() < 0.5
            payload[key] = _spelled(chance, chance.choice(self.ways), negative, "1", "")
            payload[_EFFECTS[key]] = chance.choice(("None", "Both", "Credit" if negative else "None"))
            self.notes["refused: no certain sign"] += 1
        else:
            key = chance.choice(keys)
            payload[key] = _spelled(chance, chance.choice(self.ways), False, *chance.choice(self.beyond))
            if key in _EFFECTS:
                payload[_EFFECTS[key]] = chance.choice(("Debit", "Credit"))
            self.notes["refused: a digit too many"] += 1
        return key


def _json(value: Any) -> str:
    return value.sent if isinstance(value, Amount) else json.dumps(value)


def _signed_quantity(table: str, payload: Payload) -> Payload:
    amount = payload.get("quantity")
    if table == "positions":
        return {"quantity": amount.stored(payload["quantity-direction"] == "Short")}
    if table == "transactions" and amount and (sign := _ACTIONS[payload["action"]]) is not None:
        return {"quantity": amount.stored(sign == "-")}
    return {}
