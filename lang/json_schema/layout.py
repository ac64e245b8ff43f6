"""How JSON is laid out: the order of keys, white space, and which spellings of a value count.

A schema says which values are valid, a layout which of their texts a grammar holds. A model that
writes is best given one text per value (the default); a grammar that judges text is given them all
(`Layout.accepting()`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal as Choice

from ..errors import ParameterError
from ..ir.nodes import Alt, CharClass, Literal, Node, Repeat, Seq, Terminal

_WHITE_SPACE = CharClass(((0x09, 0x0A), (0x0D, 0x0D), (0x20, 0x20)))
_MAX_INDENT = 16
_MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class Layout:
    """Which texts of a valid value are in the grammar.

    Attributes:
        key_order: "schema": declared keys come first, in the order of the schema; "free": any
            order.
        whitespace: "single" is what `json.dumps` writes, "compact" has none, "indented" is
            `json.dumps(indent=...)`, "flexible" allows some wherever JSON does.
        indent: spaces per level, for "indented".
        max_depth: levels of objects and arrays, for "indented": deeper values have no text.
        max_whitespace: characters at each place, for "flexible"; None is no bound.
        escapes: what is not ASCII may also be written as \\uXXXX, as `json.dumps` does by default.
            The declared keys of one object are all written alike: as they are, or all escaped in
            digits of one case.
        integral_floats: an integer may also be written with a fraction of zeros, as in 1.0.
        rare_formats: a string with a format may also be what few libraries read of that format,
            such as 23:59:60Z as a time (`docs/regex.md`).

    Raises ParameterError for a value outside its range.
    """

    key_order: Choice["schema", "free"] = "schema"
    whitespace: Choice["single", "compact", "indented", "flexible"] = "single"
    indent: int = 2
    max_depth: int = 12
    max_whitespace: int | None = 64
    escapes: bool = False
    integral_floats: bool = False
    rare_formats: bool = False

    def __post_init__(self) -> None:
        if self.key_order not in ("schema", "free"):
            raise ParameterError("key_order", f"'schema' or 'free', not {self.key_order!r}")
        if self.whitespace not in ("single", "compact", "indented", "flexible"):
            raise ParameterError(
                "whitespace",
                f"'single', 'compact', 'indented' or 'flexible', not {self.whitespace!r}",
            )
        for flag in ("escapes", "integral_floats", "rare_formats"):
            if not isinstance(getattr(self, flag), bool):
                raise ParameterError(flag, f"True or False, not {getattr(self, flag)!r}")
        for name, value, most in (
            ("indent", self.indent, _MAX_INDENT),
            ("max_depth", self.max_depth, _MAX_DEPTH),
            ("max_whitespace", self.max_whitespace, 1000),
        ):
            if value is not None and (type(value) is not int or not 1 <= value <= most):
                raise ParameterError(name, f"a number from 1 to {most}, not {value!r}")

    @classmethod
    def accepting(cls) -> Layout:
        """Everything that reads as a valid value: any key order, white space, escapes, 1.0, ..."""
        return cls(
            key_order="free",
            whitespace="flexible",
            max_whitespace=None,
            escapes=True,
            integral_floats=True,
            rare_formats=True,
        )

    @property
    def is_constant(self) -> bool:
        """Whether each value has one text, which does not depend on where it stands."""
        return (
            self.key_order == "schema"
            and self.whitespace in ("single", "compact")
            and not self.escapes
            and not self.integral_floats
        )


class Punctuation:
    """What stands between values. A depth is that of the object or array that it is inside."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        space = Terminal(Repeat(_WHITE_SPACE, 0, layout.max_whitespace))
        self._space = space
        self.is_flexible = layout.whitespace == "flexible"
        self.is_indented = layout.whitespace == "indented"
        self.colon: Node = Literal(":" if layout.whitespace == "compact" else ": ")
        self._comma: Node = Literal("," if layout.whitespace == "compact" else ", ")
        if self.is_flexible:
            self.colon = Seq((space, Literal(":"), space))
            self._comma = Seq((space, Literal(","), space))

    @property
    def separators(self) -> tuple[str, str]:
        """The separators of `json.dumps`, for a layout that is constant."""
        return (",", ":") if self._layout.whitespace == "compact" else (", ", ": ")

    def comma(self, depth: int) -> Node:
        """Between two members or items."""
        return Literal("," + self._line(depth + 1)) if self.is_indented else self._comma

    def enclosed(self, brackets: str, body: Node | None, may_be_empty: bool, depth: int) -> Node:
        """An object or array of `body`, which is not empty, or of nothing; None is no such body."""
        opening, closing = brackets[0], brackets[1]
        if body is None:
            space = (self._space,) if self.is_flexible else ()
            return Seq((Literal(opening), *space, Literal(closing)))
        if self.is_flexible:
            rest: Node = Seq((body, self._space, Literal(closing)))
            if may_be_empty:
                rest = Alt((Literal(closing), rest))
            return Seq((Literal(opening), self._space, rest))
        before = self._line(depth + 1) if self.is_indented else ""
        after = self._line(depth) if self.is_indented else ""
        if not may_be_empty:
            return Seq((Literal(opening + before), body, Literal(after + closing)))
        if not before:
            return Seq((Literal(opening), Repeat(body, 0, 1), Literal(closing)))
        full = Seq((Literal(before), body, Literal(after + closing)))
        return Seq((Literal(opening), Alt((Literal(closing), full))))

    def document(self, value: Node) -> Node:
        """The whole text."""
        return Seq((self._space, value, self._space)) if self.is_flexible else value

    def _line(self, depth: int) -> str:
        return "\n" + " " * (self._layout.indent * depth)
