"""IR printed as GBNF, the grammar language of llama.cpp (its `grammars/README.md`).

One rule a line, `root` first. llama.cpp's limits are kept here, because beyond them it drops a
bound in silence, or crashes: bounds and the number of rules that a repetition unfolds to stay under
2,000, and groups nested too deep become rules of their own.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal as OneOf

from ..errors import GrammarError
from ..ir.controls import as_texts, control_tokens
from ..ir.nodes import Alt, CharClass, ControlToken, Literal, Node, Ref, Repeat, Rules, Seq
from ..ir.walk import fold
from ..regex.sets import ANY, Ranges, complement
from .limits import check_beginnings
from .lowering import MAX_BOUND, lower
from .tokens import TOKEN

_MAX_NESTED_GROUPS = 4
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}
_IN_TEXT = {**_ESCAPES, '"': '\\"'}
_IN_CLASS = {**_ESCAPES, "[": "\\[", "]": "\\]", "-": "\\-", "^": "\\x5E"}


def rules_to_gbnf(rules: Rules) -> str:
    """The GBNF text of `rules`, one rule a line, with a final newline.

    Raises GrammarError, naming the rule, for what llama.cpp cannot run: a bound above 2,000, a text
    with a NUL, or a control token whose text GBNF cannot write.
    """
    lowered = lower(as_texts(rules))
    controls = frozenset(control_tokens(lowered))
    check_beginnings(lowered)
    names = _printed_names(lowered)
    taken = set(names.values())
    lines = []
    for name, body in lowered.rules.items():
        printer = _RulePrinter(names, names[name], taken, controls)
        text = printer.print(body)
        lines.append(f"{names[name]} ::= {text}\n")
        lines.extend(f"{extra} ::= {text}\n" for extra, text in printer.extra.items())
    return "".join(lines)


def _printed_names(rules: Rules) -> dict[str, str]:
    """llama.cpp starts at the rule called `root`, so the start rule takes that name."""
    names = {name: name for name in rules.rules}
    if rules.root != "root":
        if "root" in names:
            fresh = "root-2"
            while fresh in names:
                fresh += "-x"
            names["root"] = fresh
        names[rules.root] = "root"
    return names


@dataclass(frozen=True, slots=True)
class _Printed:
    """The text of a node: how tightly it binds, its nested groups, the rules llama.cpp makes."""

    text: str
    binding: OneOf["atom", "seq", "alt"] = "atom"
    groups: int = 0
    rules: int = 0


class _RulePrinter:
    """Prints one rule; `extra` gets the auxiliary rules that its body needs."""

    def __init__(
        self,
        names: dict[str, str],
        name: str,
        taken: set[str],
        controls: AbstractSet[Node],
    ) -> None:
        self.extra: dict[str, str] = {}
        self._names = names
        self._name = name
        self._taken = taken
        self._controls = controls

    def print(self, body: Node) -> str:
        return fold(body, self._print).text

    def _print(self, node: Node, below: list[_Printed]) -> _Printed:
        match node:
            case Literal(text):
                if "\0" in text:
                    raise self._error("holds the character NUL, which llama.cpp never matches")
                return _Printed(f'"{"".join(_escaped(char, _IN_TEXT) for char in text)}"')
            case CharClass(ranges):
                if ranges == ((0, 0),):
                    raise self._error("needs the character NUL, which llama.cpp never matches")
                return _Printed(_print_class(ranges))
            case ControlToken(text):
                if not TOKEN.fullmatch(text):
                    raise self._error(f"names the control token {text!r}; GBNF takes <...> alone")
                return _Printed(text)
            case Ref(name):
                return _Printed(self._names[name], rules=1)
            case Seq(items):
                for at, (item, following) in enumerate(pairwise(items)):
                    if isinstance(item, Repeat) and self._is_all_but(item, following):
                        below[at] = _Printed(f"!{below[at + 1].text}{'+' if item.min else '*'}")
                parts = [self._grouped(part) if part.binding == "alt" else part for part in below]
                return _combined(" ", "seq", parts)
            case Alt():
                return _combined(" | ", "alt", below)
            case Repeat(_, low, high):
                return self._print_repeat(below[0], low, high)
            case _:
                raise AssertionError(f"{node!r} is not plain")

    def _is_all_but(self, node: Repeat, token: Node) -> bool:
        """Whether `node` is any text and any control token but `token`, which follows it.

        As characters llama.cpp would take that token for its text and go on inside `node`.
        """
        if token not in self._controls or node.max is not None or node.min > 1:
            return False
        options = node.item.options if isinstance(node.item, Alt) else (node.item,)
        return {CharClass(ANY), *self._controls} == {*options, token} and token not in options

    def _print_repeat(self, item: _Printed, low: int, high: int | None) -> _Printed:
        bounds = _print_bounds(low, high)
        if max(low, high or 0) > MAX_BOUND:
            raise self._error(
                f"repeats {bounds}, and llama.cpp takes bounds up to {MAX_BOUND:,}; lower the "
                "bound, or run the grammar in treegram's own engine"
            )
        unfolded = high or low or 1
        if item.binding != "atom":
            too_many = (item.rules + 1) * unfolded > MAX_BOUND
            item = self._as_rule(item) if too_many else self._grouped(item)
        made = 1 if high is None else high - low
        return _Printed(item.text + bounds, "seq", item.groups, item.rules + made)

    def _grouped(self, part: _Printed) -> _Printed:
        if part.groups >= _MAX_NESTED_GROUPS:
            return self._as_rule(part)
        return _Printed(f"({part.text})", groups=part.groups + 1, rules=part.rules + 1)

    def _as_rule(self, part: _Printed) -> _Printed:
        number = 1
        while f"{self._name}-{number}" in self._taken:
            number += 1
        name = f"{self._name}-{number}"
        self._taken.add(name)
        self.extra[name] = part.text
        return _Printed(name, rules=1)

    def _error(self, message: str) -> GrammarError:
        return GrammarError(f"gbnf: rule {self._name!r} {message}")


def _combined(between: str, binding: OneOf["seq", "alt"], parts: list[_Printed]) -> _Printed:
    return _Printed(
        between.join(part.text for part in parts),
        binding,
        max(part.groups for part in parts),
        sum(part.rules for part in parts),
    )


def _print_bounds(low: int, high: int | None) -> str:
    match low, high:
        case 0, 1:
            return "?"
        case 0, None:
            return "*"
        case 1, None:
            return "+"
        case _, None:
            return f"{{{low},}}"
        case _:
            return f"{{{low}}}" if low == high else f"{{{low},{high}}}"


def _print_class(ranges: Ranges) -> str:
    """The class as it reads best: `.`, or negated where that is shorter.

    Only ASCII is negated: llama.cpp takes the first bytes of any character that shares them with a
    negated one for a mismatch.
    """
    if ranges == ANY:
        return "."
    others = complement(ranges)
    if len(others) < len(ranges) and others[-1][1] < 0x80:
        return f"[^{_print_ranges(others)}]"
    return f"[{_print_ranges(ranges)}]"


def _print_ranges(ranges: Ranges) -> str:
    parts = []
    for low, high in ranges:
        parts.append(_escaped(chr(low), _IN_CLASS))
        if high > low + 1:
            parts.append("-")
        if high > low:
            parts.append(_escaped(chr(high), _IN_CLASS))
    return "".join(parts)


def _escaped(char: str, escapes: dict[str, str]) -> str:
    code = ord(char)
    if char in escapes:
        return escapes[char]
    if char.isprintable() and not (code > 0x7F and unicodedata.combining(char)):
        return char
    return (
        f"\\x{code:02X}"
        if code < 0x100
        else f"\\u{code:04X}"
        if code < 0x10000
        else f"\\U{code:08X}"
    )
