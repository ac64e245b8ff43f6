"""JSON values as `Unique` compares them: what two spellings share exactly if they mean the same."""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from collections.abc import Set as AbstractSet
from typing import TypeAlias

JsonValue: TypeAlias = Hashable


def json_value(text: str) -> JsonValue:
    """The value that `text` spells; equal as JSON means equal. No JSON stands for itself.

    1 is 1.0 and 10e-1, the order of keys is nothing, and of a key that comes twice the last counts.
    """
    try:
        value = json.loads(text, parse_int=_number, parse_float=_number)
    except ValueError:
        return ("text", text)
    return _comparable(value)


def can_all_differ(choices: Sequence[AbstractSet[JsonValue]]) -> bool:
    """Whether one value can be taken from each of `choices` with no two alike."""
    taken_by: dict[JsonValue, int] = {}

    def place(index: int, tried: set[JsonValue]) -> bool:
        """Finds a value for this one, moving earlier ones to others (an augmenting path)."""
        for value in choices[index]:
            if value not in tried:
                tried.add(value)
                if value not in taken_by or place(taken_by[value], tried):
                    taken_by[value] = index
                    return True
        return False

    return all(place(index, set()) for index in range(len(choices)))


def _number(text: str) -> tuple[str, bool, str, int]:
    """A sign, digits without zeros at either end, and a power of ten, exact for any size."""
    mantissa, _, exponent = text.lower().partition("e")
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    stripped = digits.rstrip("0")
    if not stripped:
        return ("number", False, "0", 0)
    power = int(exponent or "0") - len(fraction) + len(digits) - len(stripped)
    return ("number", mantissa.startswith("-"), stripped, power)


def _comparable(value: object) -> JsonValue:
    match value:
        case dict():
            return ("object", frozenset((key, _comparable(item)) for key, item in value.items()))
        case list():
            return ("array", tuple(map(_comparable, value)))
        case str():
            return ("string", value)
        case tuple():
            return value
        case _:
            return ("constant", str(value))
