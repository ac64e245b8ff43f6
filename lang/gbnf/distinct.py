"""Lists of different values as plain rules, where the values are so few that each can be named.

What may follow depends on which values have been, so the rules are written from the end: each part
is told what goes on after it, given the set of values so far, and that is one rule per set.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import TypeAlias

from ..automaton.reference_json import JsonValue, json_value
from ..errors import GrammarError
from ..ir.nodes import EMPTY, Alt, CharClass, Element, Literal, Node, Ref, Repeat, Seq
from ..ir.rule_names import NewRules
from ..ir.walk import walk

MAX_VALUES = 5
_MAX_TEXTS = 64
_PREFIX = "unique"

_Seen: TypeAlias = frozenset[JsonValue]
_Then: TypeAlias = Callable[[_Seen], Node]


def distinct_to_node(body: Node, new_rules: NewRules) -> Node:
    """`body` with all its elements different. Raises GrammarError if they have too many values.

    The nodes are plain but for the elements; `new_rules` has the rules they refer to.
    """
    return _Writer(new_rules).write(body, frozenset(), lambda _: EMPTY, ())


class _Writer:
    def __init__(self, new_rules: NewRules) -> None:
        self._new_rules = new_rules
        self._rules = new_rules.bodies

    def write(self, node: Node, seen: _Seen, then: _Then, inside: tuple[str, ...]) -> Node:
        """`node`, in the rules `inside`, and what follows it, when the values `seen` have been."""
        if not self._has_elements(node):
            return Seq((node, then(seen)))
        match node:
            case Element(inner):
                options: list[Node] = []
                for value, spellings in self._values(inner).items():
                    if value not in seen:
                        options.append(Seq((Alt(spellings), then(seen | {value}))))
                return Alt(tuple(options))
            case Seq(items):
                return self._sequence(items, then, inside, seen)
            case Alt(choices):
                after = self._once(then)
                return Alt(tuple(self.write(choice, seen, after, inside) for choice in choices))
            case Repeat():
                return self._repeat(node, then, inside)(seen)
            case Ref(name):
                if name in inside:
                    raise _too_many("elements in a rule that uses itself")
                return self.write(self._rules[name], seen, then, (*inside, name))
            case _:
                raise AssertionError(f"{node!r} is not plain")

    def _sequence(
        self, items: tuple[Node, ...], then: _Then, inside: tuple[str, ...], seen: _Seen
    ) -> Node:
        for at, item in enumerate(items):
            if self._has_elements(item):
                after = self._once(partial(self._sequence, items[at + 1 :], then, inside))
                return Seq((*items[:at], self.write(item, seen, after, inside)))
        return Seq((*items, then(seen)))

    def _repeat(self, node: Repeat, then: _Then, inside: tuple[str, ...]) -> _Then:
        rounds: dict[int, _Then] = {}

        def round_after(count: int) -> _Then:
            if node.max is None:
                count = min(count, node.min)
            if count not in rounds:
                rounds[count] = self._once(lambda seen: go_on(count, seen))
            return rounds[count]

        def go_on(count: int, seen: _Seen) -> Node:
            options: list[Node] = []
            if count < node.min or node.max is None or count < node.max:
                options.append(self.write(node.item, seen, round_after(count + 1), inside))
            if count >= node.min:
                options.append(then(seen))
            return Alt(tuple(options))

        return round_after(0)

    def _once(self, then: _Then) -> _Then:
        """`then`, with its result written once, as a rule, for each set of values."""
        names: dict[_Seen, str] = {}

        def named(seen: _Seen) -> Node:
            if seen not in names:
                names[seen] = self._new_rules.reserve(_PREFIX)
                self._new_rules.bodies[names[seen]] = then(seen)
            return Ref(names[seen])

        return named

    def _values(self, node: Node) -> dict[JsonValue, tuple[Literal, ...]]:
        """The spellings of each value of `node`."""
        texts = self._texts(node, ())
        if texts is None:
            raise _too_many("elements with endless values")
        values: dict[JsonValue, tuple[Literal, ...]] = {}
        for text in sorted(texts):
            value = json_value(text)
            values[value] = (*values.get(value, ()), Literal(text))
        if len(values) > MAX_VALUES:
            raise _too_many(f"elements with {len(values)} values")
        return values

    def _texts(self, node: Node, inside: tuple[str, ...]) -> set[str] | None:
        """All texts of `node`; None if they are too many."""
        found: set[str] | None
        match node:
            case Literal(text):
                return {text}
            case CharClass(ranges):
                if sum(high - low + 1 for low, high in ranges) > _MAX_TEXTS:
                    return None
                return {chr(code) for low, high in ranges for code in range(low, high + 1)}
            case Seq(items):
                found = {""}
                for item in items:
                    found = _joined(found, self._texts(item, inside))
                return found
            case Alt(options):
                found = set()
                for option in options:
                    more = self._texts(option, inside)
                    found = None if found is None or more is None else found | more
                return found
            case Repeat(item, low, high):
                if high is None or high > _MAX_TEXTS:
                    return None
                each = self._texts(item, inside)
                found = {""}
                total: set[str] | None = set()
                for count in range(high + 1):
                    if count >= low:
                        total = None if total is None or found is None else total | found
                    found = _joined(found, each)
                return total
            case Ref(name) if name not in inside:
                return self._texts(self._rules[name], (*inside, name))
            case Element(inner):
                return self._texts(inner, inside)
            case _:
                return None

    def _has_elements(self, node: Node) -> bool:
        seen: set[str] = set()
        todo = [node]
        for body in todo:  # grows while it is walked
            for inner, _ in walk(body):
                if isinstance(inner, Element):
                    return True
                if isinstance(inner, Ref) and inner.name not in seen:
                    seen.add(inner.name)
                    todo.append(self._rules[inner.name])
        return False


def _joined(heads: set[str] | None, tails: set[str] | None) -> set[str] | None:
    if heads == set() or tails == set():
        return set()
    if heads is None or tails is None or len(heads) * len(tails) > _MAX_TEXTS:
        return None
    return {head + tail for head, tail in product(heads, tails)}


def _too_many(what: str) -> GrammarError:
    return GrammarError(
        f"gbnf: {what} that must all differ; GBNF takes one rule for each set of values, so at "
        f"most {MAX_VALUES} values. Drop uniqueItems, or run the grammar in treegram's own engine"
    )
