"""Terminals of a Lark grammar as regular expressions, which is what Lark makes of them.

One expression for a whole terminal, so that a look at what stands around a part sees the other
parts. Names of other terminals are replaced by what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from lark import Token, Tree

from ..errors import RegexError
from ..ir.beginnings import nullable
from ..ir.nodes import MAX_CODE_POINT, SURROGATES, CharClass, Literal, Node, Terminal
from ..regex.expressions import escape, parse_fullmatch
from .syntax import Definition, Mistake, SyntaxTree, common_terminals, first_token

_MAX_PATTERN = 100_000
_ESCAPE = re.compile(
    r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([ntrf\"\\]))", re.ASCII
)
_NAMED = {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}
_FLAGS = frozenset("imsux")

# Lark ends these at the first closing mark, which a set of texts has to say by itself
_FIRST_END = {
    "ESCAPED_STRING": r'"(?:[^"\\\n]|\\[^\n])*"',
    "C_COMMENT": r"\/\*(?:[^*]|\*+[^*\/])*\*+\/",
}


class Terminals:
    """Compiles the terminals among `definitions`."""

    def __init__(self, definitions: Mapping[str, Definition]) -> None:
        self._definitions = definitions

    def defined(self, definition: Definition) -> Node:
        """A terminal that has a name. Raises GrammarError, with line and column."""
        return self._compiled(self._definition(definition, ()), definition.name)

    def written(self, tree: SyntaxTree) -> Node:
        """What is written in a rule as a text, an expression or a range of characters."""
        token = first_token(tree)
        if tree.data == "literal" and token.type == "STRING" and token[-1] == '"' and token != '""':
            return Literal(_text(token))
        if tree.data == "literal_range":
            low, high = self._bounds(tree)
            return CharClass(((ord(low), ord(high)),))
        return self._compiled(self._pattern(tree, ()), token)

    def one_or_more(self, trees: list[SyntaxTree]) -> Node:
        """One or more of these terminals, in any order."""
        options = "|".join(self._pattern(tree, ()) for tree in trees)
        for tree in trees:
            self._compiled(self._pattern(tree, ()), first_token(tree))
        return self._compiled(f"(?:{options})+", first_token(trees[0]))

    def _compiled(self, pattern: str, token: Token) -> Node:
        try:
            node = parse_fullmatch(pattern)
        except RegexError as error:
            reason = str(error).partition(" at column ")[0]
            offset = _offset(token, pattern, error.column)
            raise Mistake(f"the terminal {_shown(token)}: {reason}", token, offset) from error
        if nullable(node, frozenset()):
            raise Mistake(
                f"the terminal {_shown(token)} matches the empty text, which Lark forbids; make "
                "its use optional instead",
                token,
            )
        return node if isinstance(node, Literal | CharClass) else Terminal(node)

    def _definition(self, definition: Definition, inside: tuple[str, ...]) -> str:
        name = str(definition.name)
        if definition.library and name in _FIRST_END:
            return _FIRST_END[name]
        if definition.parameters:
            raise Mistake("templates of terminals are not supported", definition.name)
        return self._pattern(definition.body, (*inside, name), definition.library)

    def _pattern(self, tree: SyntaxTree, inside: tuple[str, ...], library: bool = False) -> str:
        """The expression of `tree`, which stands in the terminals `inside`."""
        parts = [
            self._pattern(child, inside, library)
            for child in tree.children
            if isinstance(child, Tree) and tree.data not in ("name", "literal", "literal_range")
        ]
        match tree.data:
            case "expansions":
                pattern = f"(?:{'|'.join(parts)})"
            case "expansion":
                pattern = "".join(parts)
            case "maybe":
                pattern = f"(?:{parts[0]})?"
            case "expr":
                pattern = f"(?:{parts[0]}){_quantifier(tree)}"
            case "literal_range":
                low, high = self._bounds(tree)
                pattern = f"[{escape(low)}-{escape(high)}]"
            case "literal":
                pattern = _literal(first_token(tree))
            case "name":
                pattern = self._named(first_token(tree), inside, library)
            case _:
                raise Mistake("this cannot stand in a terminal", first_token(tree))
        if len(pattern) > _MAX_PATTERN:
            raise Mistake("a terminal of such a size is not supported", first_token(tree))
        return pattern

    def _named(self, name: Token, inside: tuple[str, ...], library: bool) -> str:
        if name in inside:
            raise Mistake(f"the terminal {name} uses itself; make it a rule", name)
        definition = (common_terminals() if library else self._definitions).get(str(name))
        if definition is None or name.type != "TOKEN":
            what = "is not defined" if definition is None else "is a rule"
            raise Mistake(f"a terminal uses {name}, which {what}", name)
        return f"(?:{self._definition(definition, inside)})"

    def _bounds(self, tree: SyntaxTree) -> tuple[str, str]:
        first, last = (token for token in tree.children if isinstance(token, Token))
        low, high = _text(first), _text(last)
        if len(low) != 1 or len(high) != 1 or low > high:
            raise Mistake(
                f"the range {first}..{last} is not one of single characters, in order", first
            )
        return low, high


def repetition(tree: SyntaxTree) -> tuple[int, int | None]:
    """How often an `expr` repeats: by `?`, `*`, `+`, `~n` or `~n..m`."""
    _, first, *last = tree.children
    assert isinstance(first, Token)
    if first.type == "OP":
        return {"?": (0, 1), "*": (0, None), "+": (1, None)}[str(first)]
    if len(first) > 9 or any(len(str(token)) > 9 for token in last):
        raise Mistake("more repetitions than are supported", first)
    low = int(first)
    high = int(str(last[0])) if last else low
    if not 0 <= low <= high:
        raise Mistake(f"{low}..{high} repetitions; expected 0 <= least <= most", first)
    return low, high


def _quantifier(tree: SyntaxTree) -> str:
    low, high = repetition(tree)
    return f"{{{low},{'' if high is None else high}}}"


def _literal(token: Token) -> str:
    if token.type == "STRING":
        text = escape(_text(token))
        return f"(?i:{text})" if token[-1] == "i" else text
    body, _, flags = token[1:].rpartition("/")
    unknown = set(flags) - _FLAGS
    if unknown:
        raise Mistake(f"the flag {min(unknown)!r} of {token} is not supported", token)
    body = re.sub(r"\\(.)", lambda m: "/" if m[1] == "/" else m[0], body, flags=re.DOTALL)
    return f"(?{flags}:{body})" if flags else f"(?:{body})"


def _text(token: Token) -> str:
    """The text that a STRING token spells. An unknown escape is its backslash and letter."""

    def spelled(found: re.Match[str]) -> str:
        code = found[1] or found[2] or found[3]
        if not code:
            return _NAMED.get(found[4], found[4])
        number = int(code, 16)
        if number > MAX_CODE_POINT or SURROGATES[0] <= number <= SURROGATES[1]:
            raise Mistake(f"{found[0]} is no Unicode character", token)
        return chr(number)

    return _ESCAPE.sub(spelled, token[1 : token.rindex('"')])


def _offset(token: Token, pattern: str, column: int) -> int:
    """Where `column` of the pattern stands in `token`, if the token is all of it, as it is."""
    if token.type != "REGEXP" or pattern != _literal(token) or "\\/" in token:
        return 0
    last = token.rindex("/") - 1  # the group around the expression is not the user's
    return min(1 + max(column - pattern.index(":") - 1, 0), max(last, 0))


def _shown(token: Token) -> str:
    return str(token) if len(token) < 60 else f"{token[:60]}..."
