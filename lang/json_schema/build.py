"""From shapes to rules: names, references, and one rule per object or array shape.

Rules are made from a queue, so that deep and recursive schemas cost no stack. Only an indented
layout tells depths apart: there a shape has one rule per depth.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable
from typing import TypeGuard

from ..automaton.word_list import MIN_WORDS
from ..errors import SchemaError
from ..ir.nodes import NEVER, Alt, Literal, Node, Ref, Repeat, Seq, Terminal
from ..ir.walk import references
from ..regular import algebra as regular
from .alternatives import Alternatives
from .demand import Demand
from .escapes import has_one_spelling
from .layout import Layout, Punctuation
from .merge import exactly, structure
from .number_node import listed_integers
from .number_set import NumberSet
from .shapes import (
    ALL,
    ARRAY,
    INTEGER,
    NUMBER,
    OBJECT,
    STRING,
    ArrayShape,
    Cases,
    Listed,
    ObjectShape,
    Shape,
    shapes_of,
)
from .span import Span
from .string_set import StringSet
from .strings import encode, quoted

MAX_RULES = 50_000
_MAX_INLINE_OPTIONS = 3
_MIN_AUTOMATON_TEXTS = 8
_MAX_AUTOMATON_CHARACTERS = 200_000
_MAX_SPELLED = 10**20

_SHARED: dict[Shape, str] = {
    STRING: "string",
    NUMBER: "number",
    INTEGER: "integer",
    OBJECT: "object",
    ARRAY: "array",
}


plain_spelling = json.JSONEncoder(ensure_ascii=False).encode
"""A value as `json.dumps(..., ensure_ascii=False)` writes it."""

ascii_spelling = json.JSONEncoder().encode
"""A value as `json.dumps` writes it."""


def upper_spelling(key: str) -> str:
    """A string as `ascii_spelling`, with upper-case digits: some writers do that."""
    return _UNIT.sub(lambda unit: unit[1] + unit[2].upper(), ascii_spelling(key))


_UNIT = re.compile(r"((?<!\\)(?:\\\\)*\\u)([0-9a-f]{4})")


class Build:
    """Rules under construction.

    Attributes:
        rules: every rule so far, by name.
        paths: where the schema of a rule stands, for those made of a schema.
        distinct: rules of several items, or keys, that differ, which may have no text.
        layout, punctuation: how the values are written.
        alternatives: what the demands come to.
    """

    def __init__(self, alternatives: Alternatives, layout: Layout) -> None:
        self.alternatives = alternatives
        self.layout = layout
        self.punctuation = Punctuation(layout)
        self.rules: dict[str, Node] = {}
        self.paths: dict[str, str] = {}
        self.distinct: list[str] = []
        self.queue: deque[tuple[str, ObjectShape | ArrayShape, int]] = deque()
        self._needs: list[tuple[str, str]] = []
        self._is_doubtful = False
        self._current = ""
        self._taken: dict[str, int] = {}
        self._nodes: dict[tuple[Demand, int], Node] = {}
        self._shapes: dict[tuple[Shape, int], Node] = {}
        self._integral_floats = layout.integral_floats and alternatives.document.draft >= 6

    def reserve(self, hint: str) -> str:
        """A fresh rule name like `hint`."""
        stem = _UNFIT.sub("-", hint.lower()).strip("-")[:40]
        stem = stem if stem[:1].isalpha() else f"rule-{stem}".rstrip("-")
        name = stem
        while name in self._taken:
            self._taken[stem] += 1
            name = f"{stem}-{self._taken[stem]}"
        self._taken[name] = 1
        if len(self._taken) > MAX_RULES:
            raise SchemaError(f"needs more than {MAX_RULES} rules", "$")
        return name

    def define(self, hint: str, body: Node) -> Ref:
        """A new rule and the reference to it."""
        name = self.reserve(hint)
        self.rules[name] = body
        self._needs += [(name, needed) for needed in _needed(body)]
        return Ref(name)

    def define_distinct(self, body: Node, path: str) -> Ref:
        """A new rule of several items, or keys, that differ, from the schema at `path`."""
        rule = self.define("distinct", body)
        self.distinct.append(rule.name)
        self.paths[rule.name] = path
        self.need(rule)
        return rule

    def make(self, name: str, body: Node) -> None:
        """Fills a reserved rule."""
        self.rules[name] = body
        self._is_doubtful = self._is_doubtful or body == NEVER

    def need(self, node: Node) -> None:
        """Notes that the rule under construction has no text where `node` has none."""
        self._needs += [(self._current, name) for name in _needed(node)]

    def run(self, make: Callable[[ObjectShape | ArrayShape, int], Node]) -> None:
        """Makes the rules of all shapes that are referred to, one after another."""
        while self.queue:
            self._current, shape, depth = self.queue.popleft()
            self.make(self._current, make(shape, depth))

    def is_productive(self) -> bool:
        """Whether it is plain that every rule has a text: none is empty, none needs itself."""
        if self._is_doubtful:
            return False
        waiting: dict[str, int] = {}
        users: dict[str, list[str]] = {}
        for name, needed in self._needs:
            waiting[name] = waiting.get(name, 0) + 1
            users.setdefault(needed, []).append(name)
        ready = [name for name in users if name not in waiting]
        for name in ready:  # grows while it is walked
            for user in users.get(name, ()):
                waiting[user] -= 1
                if not waiting[user]:
                    ready.append(user)
        return not any(waiting.values())

    def node(self, demand: Demand, depth: int, hint: str) -> Node:
        """The texts of the values that satisfy `demand`; the hint becomes part of rule names."""
        level = depth if self.punctuation.is_indented else 0
        known = self._nodes.get((demand, level))
        if known is None:
            target, name = self.alternatives.document.follow(demand, hint)
            cases = self.alternatives.cases(target)
            known = self._nodes[demand, level] = self._union(cases, level, name)
        return known

    def _union(self, cases: Cases, depth: int, hint: str) -> Node:
        if cases == ALL:
            hint = "value"
        options = [self.shape(shape, depth, hint) for shape in shapes_of(cases)]
        options = [option for option in dict.fromkeys(options) if option != NEVER]
        if len(options) == 1:
            return options[0]
        if len(options) <= _MAX_INLINE_OPTIONS:
            return Alt(tuple(options))
        return self.define(hint, Alt(tuple(options)))

    def shape(self, shape: Shape, depth: int, hint: str) -> Node:
        """The texts of the values of one shape."""
        key = (shape, depth)
        known = self._shapes.get(key)
        if known is None:
            known = self._shapes[key] = self._new_shape(shape, depth, hint)
        return known

    def _new_shape(self, shape: Shape, depth: int, hint: str) -> Node:
        if isinstance(shape, ObjectShape | ArrayShape):
            if self.alternatives.is_void(shape):
                return NEVER
            if self.punctuation.is_indented and depth >= self.layout.max_depth:
                return NEVER
            name = self.reserve(_SHARED.get(shape, hint))
            self.paths[name] = shape.path
            self.queue.append((name, shape, depth))
            return Ref(name)
        if isinstance(shape, Listed):
            return self._listed(shape, depth)
        node = self._scalar(shape)
        if not isinstance(node, Terminal):
            return node
        return self.define(_SHARED.get(shape, hint), node)

    def _scalar(self, shape: StringSet | NumberSet) -> Node:
        if isinstance(shape, StringSet):
            layout = self.layout
            return shape.node(escapes=layout.escapes, rare_formats=layout.rare_formats)
        return shape.node(
            integral_floats=self._integral_floats, extremes=self.layout.integral_floats
        )

    def _listed(self, shape: Listed, depth: int) -> Node:
        if self.layout.is_constant:
            return self._texts([self._constant_text(v, shape.path) for v in shape.values], shape)
        strings = [value for value in shape.values if isinstance(value, str)]
        if strings:
            return self._strings(strings, shape)
        options: list[Node] = []
        fractions = self._integral_floats if shape.is_integer else self.layout.integral_floats
        integers = [value for value in shape.values if fractions and _is_short_integer(value)]
        if len(integers) < _MIN_AUTOMATON_TEXTS:
            integers = []
        else:
            options.append(listed_integers(integers))
        for value in shape.values:
            match value:
                case dict() | list():
                    options.append(self.shape(structure(value, shape.path), depth, "constant"))
                case bool() | None:
                    options.append(Literal(json.dumps(value)))
                case int() | float() if not (integers and _is_short_integer(value)):
                    options.append(self._number(value, shape.path, fractions))
        kept = [option for option in options if option != NEVER]
        return kept[0] if len(kept) == 1 else Alt(tuple(kept))

    def _number(self, value: int | float, path: str, fractions: bool) -> Node:
        exact = exactly(value)
        is_whole = exact == exact.to_integral_value()
        if not self.layout.integral_floats or abs(exact) >= _MAX_SPELLED:
            return Literal(json.dumps(value))
        edge = (exact, False)
        return NumberSet(edge, edge, integer=True if is_whole else None, path=path).node(
            integral_floats=fractions, extremes=True
        )

    def _strings(self, values: list[str], shape: Listed) -> Node:
        for value in values:
            self._constant_text(value, shape.path)
        if self.layout.escapes and not all(map(has_one_spelling, values)):
            options = [quoted(encode(Literal(v), escapes=True)) for v in values]
            return Terminal(Alt(tuple(options))) if len(options) > 1 else options[0]
        return self._texts([self._constant_text(value, shape.path) for value in values], shape)

    def _texts(self, texts: list[str], shape: Listed) -> Node:
        is_long = sum(map(len, texts)) > _MAX_AUTOMATON_CHARACTERS
        if len(texts) >= _MIN_AUTOMATON_TEXTS and not is_long:
            return Terminal(regular.from_texts(texts))
        options = tuple(Literal(text) for text in texts)
        if len(options) >= MIN_WORDS:
            return Terminal(Alt(options))  # runs as a sorted list
        return options[0] if len(options) == 1 else Alt(options)

    def _constant_text(self, value: object, path: str) -> str:
        """A constant, written as `json.dumps` writes it."""
        if isinstance(value, dict | list):
            separators = self.punctuation.separators
            text = json.dumps(value, ensure_ascii=False, separators=separators)
        else:
            text = plain_spelling(value)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise SchemaError("a lone surrogate cannot be written as UTF-8", path) from error
        return text

    def listed(self, item: Node, count: Span, depth: int) -> Node | None:
        """`item`, from `count.low` but at least one to `count.high` times; None is never."""
        low, high = max(count.low, 1), count.high
        if high is not None and high < low:
            return None
        if high == 1:
            return item
        more = Seq((self.punctuation.comma(depth), item))
        return Seq((item, Repeat(more, low - 1, None if high is None else high - 1)))


def _needed(node: Node) -> list[str]:
    """Rules such that `node` has a text if all of them have."""
    match node:
        case Ref(name):
            return [name]
        case Literal() | Terminal():
            return []
        case Alt(options) if any(not _needed(option) for option in options):
            return []
        case _:
            return references(node)


_UNFIT = re.compile(r"[^a-z0-9]+")


def _is_short_integer(value: object) -> TypeGuard[int]:
    """Whether the value is a whole number that has no spelling with an exponent."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MAX_SPELLED
