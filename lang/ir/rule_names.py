"""Names of rules: those that a user wrote spelled as the IR's, and fresh ones for added rules."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .nodes import Node, Ref


def respelled(names: Iterable[str]) -> dict[str, str]:
    """The IR's name for each: lower case, dashes, beginning with a letter, and no two alike."""
    given = list(names)
    spelled = {name: name for name in given if re.fullmatch("[a-z][a-z0-9-]*", name)}
    taken = set(spelled)
    for name in given:
        if name not in spelled:
            plain = name.lower().replace("_", "-").strip("-")
            base = plain if plain[:1].isalpha() else f"r{plain}"
            number, fresh = 2, base
            while fresh in taken:
                number, fresh = number + 1, f"{base}-{number}"
            spelled[name] = fresh
            taken.add(fresh)
    return spelled


class NewRules:
    """`bodies` gets the rules that are defined here; none is called like one of `taken`."""

    def __init__(self, taken: Iterable[str]) -> None:
        self.bodies: dict[str, Node] = {}
        self._taken = set(taken)
        self._last: dict[str, int] = {}

    def reserve(self, prefix: str) -> str:
        """A fresh name, `prefix` or `prefix-<n>`, whose body is still to be written."""
        number = self._last.get(prefix, 0) + 1
        while (name := prefix if number == 1 else f"{prefix}-{number}") in self._taken:
            number += 1
        self._last[prefix] = number
        self._taken.add(name)
        return name

    def define(self, prefix: str, body: Node) -> Ref:
        """A reference to a new rule with this body."""
        name = self.reserve(prefix)
        self.bodies[name] = body
        return Ref(name)
