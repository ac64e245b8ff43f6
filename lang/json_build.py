"""What the parts of the schema compiler share: the rules made so far, and their names."""

from __future__ import annotations

import re
from collections.abc import Callable

from .ir import EMPTY, Alt, Literal, Node, Ref, Repeat, Seq
from .json_merge import Sub
from .json_numbers import INTEGER, NUMBER
from .json_strings import CHAR_RULE, STRING_RULES, quote, quoted

STRING, VALUE = Ref("string"), Ref("value")


class Build:
    """Rules under construction, and how a sub-schema becomes a node.

    Attributes:
        rules: every rule so far, by name.
        item_separator, key_separator: as in `json.dumps`.
        node: the node of a sub-schema; the hint becomes part of the name of its rule.
    """

    def __init__(self, separators: tuple[str, str], node: Callable[[Sub, str], Node]) -> None:
        self.item_separator, self.key_separator = separators
        self.node = node
        self.rules: dict[str, Node] = dict(STRING_RULES)
        self._taken = set(self.rules)
        for name, body in self._any_value().items():
            self.define(name, body)

    def reserve(self, hint: str) -> str:
        """A fresh rule name like `hint`."""
        stem = re.sub(r"[^a-z0-9]+", "-", hint.lower()).strip("-")[:40]
        stem = stem if stem[:1].isalpha() else f"rule-{stem}".rstrip("-")
        name, n = stem, 1
        while name in self._taken:
            n += 1
            name = f"{stem}-{n}"
        self._taken.add(name)
        return name

    def define(self, hint: str, body: Node) -> Ref:
        """A new rule and the reference to it."""
        name = self.reserve(hint)
        self.rules[name] = body
        return Ref(name)

    def key(self, name: str) -> Node:
        """A declared key with its separator."""
        return Literal(quote(name) + self.key_separator)

    def listed(self, item: Node, low: int = 0, high: int | None = None) -> Node:
        """`item` from `low` to `high` times, separated."""
        if high == 0:
            return EMPTY
        more = Repeat(
            Seq((Literal(self.item_separator), item)),
            max(low - 1, 0),
            None if high is None else high - 1,
        )
        some = Seq((item, more)) if high != 1 else item
        return some if low else Repeat(some, 0, 1)

    def _any_value(self) -> dict[str, Node]:
        member = Seq((STRING, Literal(self.key_separator), VALUE))
        kinds = ("object", "array", "string", "number", "boolean", "null")
        return {
            "string": quoted(Repeat(Ref(CHAR_RULE), 0, None)),
            "integer": INTEGER,
            "number": NUMBER,
            "boolean": Alt((Literal("true"), Literal("false"))),
            "null": Literal("null"),
            "object": Seq((Literal("{"), self.listed(member), Literal("}"))),
            "array": Seq((Literal("["), self.listed(VALUE), Literal("]"))),
            "value": Alt(tuple(Ref(kind) for kind in kinds)),
        }
