"""Control tokens of a grammar, found in a model: names become numbers, optional ones texts.

A grammar names control tokens by text, and so serves every model. A model may have no such token,
or several of one text; and GBNF knows tokens by number too (`<[12]>`). So a grammar is bound to a
model once, before it runs there, and from then on every control token is its number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ..errors import GrammarError
from .nodes import Alt, ControlToken, Literal, Node, Rules
from .walk import fold, walk, with_children

_NUMBER = re.compile(r"<\[([0-9]{1,9})\]>")


def numbered(token: int) -> str:
    """A control token by its number, as GBNF writes it."""
    return f"<[{token}]>"


def control_tokens(rules: Rules) -> Iterator[ControlToken]:
    """All that the rules name, as often as they do."""
    for body in rules.rules.values():
        yield from (node for node, _ in walk(body) if isinstance(node, ControlToken))


def bound(rules: Rules, controls: Mapping[int, str]) -> Rules:
    """The rules for a model with these control tokens (id -> text), each by its number.

    Raises GrammarError for one that must be there and is not, and for a number that is no control
    token's.
    """
    by_text: dict[str, list[Node]] = {}
    for number, text in controls.items():
        by_text.setdefault(text, []).append(ControlToken(numbered(number)))

    def found(token: ControlToken) -> Node:
        tokens = by_text.get(token.text, [])
        if tokens:
            return tokens[0] if len(tokens) == 1 else Alt(tuple(tokens))
        if token.optional:
            return Literal(token.text)
        number = _NUMBER.fullmatch(token.text)
        if number is None:
            have = ", ".join(sorted(by_text)[:20]) or "none"
            raise GrammarError(f"this model has no control token {token.text!r}; it has {have}")
        if int(number[1]) not in controls:
            raise GrammarError(
                f"{token.text} is no control token of this model; write other tokens as texts"
            )
        return ControlToken(numbered(int(number[1])))

    def visit(node: Node, below: list[Node]) -> Node:
        return found(node) if isinstance(node, ControlToken) else with_children(node, below)

    return Rules(rules.root, {name: fold(body, visit) for name, body in rules.rules.items()})


def as_texts(rules: Rules) -> Rules:
    """The rules for any model: what is a control token only where a model has one is a text."""
    if not any(token.optional for token in control_tokens(rules)):
        return rules

    def visit(node: Node, below: list[Node]) -> Node:
        if isinstance(node, ControlToken) and node.optional:
            return Literal(node.text)
        return with_children(node, below)

    return Rules(rules.root, {name: fold(body, visit) for name, body in rules.rules.items()})
