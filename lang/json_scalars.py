"""The grammars of strings and numbers under all their keywords at once."""

from __future__ import annotations

import math
from decimal import Decimal
from functools import reduce

from . import regular
from .errors import RegexError, SchemaError
from .ir import Alt, Literal, Node, Ref
from .json_build import STRING, Build
from .json_formats import REFUSED_FORMATS, format_node
from .json_merge import Flat, Limits, type_of
from .json_numbers import MAX_BOUND_DIGITS, decimal_range, integer_range
from .json_strings import any_text, encode, quoted, with_length
from .regex import parse_search
from .regular import Dfa, TooLarge

_MAX_LISTED = 200


def string_node(flat: Flat, build: Build) -> Node:
    """The JSON strings that satisfy `flat`. Raises SchemaError."""
    language = string_language(flat)
    if language == any_text(0, None):
        return STRING
    return quoted(content_node(language, build))


def content_node(language: Node | Dfa, build: Build, hint: str = "text") -> Node:
    """A language of decoded texts as it is spelled between the quotes."""
    if not isinstance(language, Dfa):
        return encode(language)
    node, rules = regular.to_rules(language, build.reserve(hint), encode)
    build.rules.update(rules)
    return node


def string_language(flat: Flat) -> Node | Dfa:
    """The decoded strings that satisfy `flat`: a node, or an automaton where sets were combined.

    Raises SchemaError for a pattern or format without a grammar, or too large a combination.
    """
    low, high = flat.length.low, flat.length.high
    parts = [*(_pattern(p, flat.path) for p in flat.patterns)]
    for name in flat.formats:
        node = format_node(name, high)
        if name in REFUSED_FORMATS:
            raise SchemaError(
                f"the format {name!r} has no grammar; use a pattern", flat.path, "format"
            )
        if node is not None:
            parts.append(node)
    if flat.length.is_empty:
        return Alt(())
    if not parts:
        return any_text(low, high)
    if len(parts) == 1 and (node := with_length(parts[0], low, high)) is not None:
        return node
    if (low, high) != (0, None):
        parts.append(any_text(low, high))
    try:
        return reduce(regular.intersect, map(regular.from_node, parts))
    except TooLarge as error:
        raise SchemaError(
            "the pattern or format together with the lengths needs more than "
            f"{regular.MAX_STATES} states; put the length into the pattern",
            flat.path,
            "pattern" if flat.patterns else "format",
        ) from error


def as_dfa(language: Node | Dfa, flat: Flat) -> Dfa:
    """The automaton of a string language. Raises SchemaError if it is too large."""
    try:
        return language if isinstance(language, Dfa) else regular.from_node(language)
    except TooLarge as error:
        raise SchemaError(
            f"needs an automaton of more than {regular.MAX_STATES} states", flat.path
        ) from error


def pattern_dfa(pattern: str, path: str) -> Dfa:
    """The texts in which an unanchored pattern is found. Raises SchemaError."""
    try:
        return regular.from_node(_pattern(pattern, path))
    except TooLarge as error:
        raise SchemaError(f"the pattern {pattern!r} is too large here", path) from error


def _pattern(pattern: str, path: str) -> Node:
    try:
        return parse_search(pattern)
    except RegexError as error:
        raise SchemaError(f"pattern: {error}", path, "pattern") from error


def number_node(flat: Flat, build: Build) -> Node:
    """The JSON numbers that satisfy `flat`. Raises SchemaError."""
    limits = flat.limits
    for edge in (limits.low, limits.high):
        if edge is not None and edge[0].adjusted() >= MAX_BOUND_DIGITS:
            raise SchemaError(f"bounds must be below 1e{MAX_BOUND_DIGITS}", flat.path, "minimum")
    multiple = limits.multiple_of
    if multiple is not None and not (flat.integer and 1 % multiple == 0):
        if multiple != multiple.to_integral_value():
            raise SchemaError(
                f"multipleOf {multiple} has no exact grammar over floats; "
                "use whole numbers (cents instead of 0.01)",
                flat.path,
                "multipleOf",
            )
        return _multiples(int(multiple), *_whole(limits), flat, build)
    if flat.integer:
        low, high = _whole(limits)
        return Ref("integer") if low is high is None else integer_range(low, high)
    if limits.low is limits.high is None:
        return Ref("number")
    least, most = limits.low or (None, False), limits.high or (None, False)
    return decimal_range(least[0], most[0], exclusive_low=least[1], exclusive_high=most[1])


def _whole(limits: Limits) -> tuple[int | None, int | None]:
    low = high = None
    if limits.low is not None:
        edge, strict = limits.low
        low = math.floor(edge) + 1 if strict else math.ceil(edge)
    if limits.high is not None:
        edge, strict = limits.high
        high = math.ceil(edge) - 1 if strict else math.floor(edge)
    return low, high


def _multiples(m: int, low: int | None, high: int | None, flat: Flat, build: Build) -> Node:
    """The integers in [low, high] that m divides."""
    if low is not None and high is not None and (high - low) // m < _MAX_LISTED:
        first = -(-low // m) * m
        return Alt(tuple(Literal(str(n)) for n in range(first, high + 1, m)))
    zero = 0x30
    digits = tuple(
        tuple((zero + d, zero + d, 1 + (10 * r + d) % m) for d in range(10))
        for r in range(min(m, regular.MAX_STATES))
    )
    minus = ord("-")
    # State 0 is the start, state 1 + r has read a number with remainder r.
    divisible = Dfa((((minus, minus, 1), *digits[0]), *digits), frozenset((1,)))
    try:
        if m >= regular.MAX_STATES:
            raise TooLarge
        within = regular.from_node(integer_range(low, high))
        dfa = regular.intersect(divisible, within)
    except TooLarge as error:
        raise SchemaError(
            f"multipleOf {m} within these bounds is too large", flat.path, "multipleOf"
        ) from error
    node, rules = regular.to_rules(dfa, build.reserve("multiple"), lambda part: part)
    build.rules.update(rules)
    return node


def satisfies(value: object, flat: Flat) -> bool:
    """Whether an `enum` or `const` value meets the other keywords of its node.

    Raises SchemaError for objects and arrays under further keywords.
    """
    kind = type_of(value)
    if kind not in flat.types:
        return False
    if isinstance(value, str):
        plain = not flat.patterns and not flat.formats
        span = flat.length
        fits = span.low <= len(value) and (span.high is None or len(value) <= span.high)
        return fits and (plain or as_dfa(string_language(flat), flat).accepts(value))
    if isinstance(value, int | float) and kind == "number":
        return _number_satisfies(value, flat)
    if kind == "object" and (
        flat.properties
        or flat.key_patterns
        or flat.required
        or flat.names
        or flat.extra.schema not in (True, {})
        or flat.size.low
        or flat.size.high is not None
    ):
        raise SchemaError(
            "an object in enum or const cannot be combined with other object keywords",
            flat.path,
            "enum",
        )
    if kind == "array" and (
        flat.prefix
        or flat.unique
        or flat.items.schema not in (True, {})
        or flat.count.low
        or flat.count.high is not None
    ):
        raise SchemaError(
            "an array in enum or const cannot be combined with other array keywords",
            flat.path,
            "enum",
        )
    return True


def _number_satisfies(value: int | float, flat: Flat) -> bool:
    exact, limits = Decimal(value), flat.limits
    if flat.integer and exact != exact.to_integral_value():
        return False
    for edge, sign in ((limits.low, 1), (limits.high, -1)):
        if edge is not None:
            bound = edge[0] if isinstance(value, int) else Decimal(float(edge[0]))
            gap = (exact - bound) * sign
            if gap < 0 or (edge[1] and gap == 0):
                return False
    return limits.multiple_of is None or exact % limits.multiple_of == 0
