"""GBNF text to IR, so that grammars written for llama.cpp run here.

The language is llama.cpp's `grammars/README.md`, read strictly where llama.cpp guesses: a rule
defined twice is an error (it takes the last), so is a class `[]` (it takes the empty text), and a
bound above 2,000 counts (it drops it). One thing is looser: a rule goes on until the next
`name ::=`, wherever its lines break.

`<think>` and `<[1000]>` are control tokens of the model, by text and by number. Everything else in
the IR is text, however it is cut into tokens. So tokens that are no control tokens cannot be meant
by number, and `!<think>`, any one token but that, has a meaning only where their number has none:
`!<think>*` is any text, in which the other control tokens of the grammar may stand.

Rule names may have capitals and start with a digit; the IR's may not, so they are respelled.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, NoReturn

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, v_args

from ..caret import pointed
from ..errors import GrammarError
from ..ir.check import check
from ..ir.nodes import (
    EMPTY,
    MAX_CODE_POINT,
    SURROGATES,
    Alt,
    CharClass,
    ControlToken,
    Literal,
    Node,
    Ref,
    Repeat,
    Rules,
)
from ..ir.nodes import Seq as Sequence
from ..ir.rule_names import respelled
from ..ir.walk import fold, walk, with_children
from ..regex.sets import ANY, complement, union
from .tokens import TOKEN

_GBNF = r"""
start: rule+
rule: RULE_HEAD body
?body: sequence ("|" sequence)*   -> alternatives
sequence: item*
?item: TEXT           -> text
     | CLASS          -> char_class
     | "."            -> any_char
     | NAME           -> reference
     | "(" body ")"
     | TOKEN          -> token
     | item QUANTIFIER -> repeat

RULE_HEAD.2: /[A-Za-z0-9-]+[ \t]*::=/
NAME: /[A-Za-z0-9-]+/
TEXT: /"(?:\\.|[^"\\])*"/s
CLASS: /\[(?:\\.|[^\]\\])*\]/s
TOKEN: /!?<[^>\r\n]*>/
QUANTIFIER: /[*+?]|\{[ \t]*[0-9]+[ \t]*(?:,[ \t]*[0-9]*[ \t]*)?\}/
COMMENT: /#[^\r\n]*/
%ignore COMMENT
%ignore /[ \t\r\n]+/
"""

MAX_CHARACTERS = 500_000
MAX_REPETITIONS = 1_000_000

MISTAKES = {
    '"': 'unclosed text; add the closing quote, or write \\" for a quote inside',
    "[": "unclosed class; add the ']', or write \\[ for a bracket inside",
    "{": "a repetition is written {m}, {m,} or {m,n}, with m at least",
    "'": 'texts stand in double quotes, as in "yes"',
    "_": "names are made of letters, digits and dashes; write - for _",
    "=": "a rule is written name ::= body",
    ":": "a rule is written name ::= body",
    "/": 'there are no regular expressions here; write texts "...", classes [...] and * + ?',
    "]": "a ']' that closes nothing; write \"]\" for a bracket",
    "}": 'a "}" that closes nothing; write "}" in quotes for a brace',
    "<": "a control token is written with its end, as in <think>",
    "NAME": "a rule is written name ::= body",
    "RPAR": "a ')' that closes nothing; write \")\" for a bracket",
    "QUANTIFIER": "nothing to repeat before it",
    "RULE_HEAD": "a rule begins inside an open '('; add the ')'",
    "!": "what is left out is a control token, as in !<think>*",
    "\ufeff": "a byte order mark; read the file with encoding='utf-8-sig'",
    "$END": "an open '(' needs its ')', and a grammar at least one rule",
}
"""What is probably meant, by the character or the kind of token that could not stand there."""

_ESCAPE = re.compile(
    r"\\(?:(?P<named>[trn\\\"\[\]-])|x(?P<two>[0-9A-Fa-f]{2})|u(?P<four>[0-9A-Fa-f]{4})"
    r"|U(?P<eight>[0-9A-Fa-f]{8}))"
)
_NAMED = {"t": "\t", "r": "\r", "n": "\n"}


def gbnf_to_rules(text: str) -> Rules:
    """The rules of this GBNF text; they start at its rule `root`.

    Raises GrammarError, with line and column, for anything that is not GBNF as described above, and
    for rules that are missing, defined twice or can never end.
    """
    if len(text) > MAX_CHARACTERS:
        raise GrammarError(f"gbnf: more than {MAX_CHARACTERS:,} characters; make it smaller")
    try:
        return _rules(_parser().parse(text))  # type: ignore[arg-type]  # of lark
    except UnexpectedInput as error:
        _refuse(text, error)
    except _Mistake as mistake:
        raise _error(text, str(mistake), mistake.line, mistake.column) from None


def _rules(heads: list[tuple[Token, Node]]) -> Rules:
    bodies: dict[str, Node] = {}
    defined: dict[str, Token] = {}
    for head, body in heads:
        name = head[:-3].rstrip()
        if name in defined:
            raise _Mistake(f"rule {name!r} is already defined in line {defined[name].line}", head)
        bodies[name], defined[name] = body, head
    if "root" not in bodies:
        other = next((name for name in bodies if name.lower() == "root"), None)
        what = "add one" if other is None else f"rename {other!r}"
        raise GrammarError(f"gbnf: no rule 'root', which is where a grammar starts; {what}")
    names = respelled(bodies)
    tokens = _named_tokens(bodies.values())
    rules = Rules("root", {names[n]: _resolve(n, bodies[n], names, tokens) for n in bodies})
    facts = check(rules)
    for name, head in defined.items():
        if not facts[names[name]].productive:
            raise _Mistake(f"rule {name!r} can never end: every way through it needs itself", head)
    return rules


class _Mistake(Exception):
    """What is wrong `offset` characters into `token`."""

    def __init__(self, message: str, token: Token, offset: int = 0) -> None:
        super().__init__(message)
        before = token[:offset]
        self.line = (token.line or 1) + before.count("\n")
        self.column = len(before) - before.rfind("\n")
        if "\n" not in before:
            self.column = (token.column or 1) + offset


def _named_tokens(bodies: Iterable[Node]) -> dict[str, ControlToken]:
    """The control tokens that a grammar names, left out or not, by how they are written."""
    nodes = [node for body in bodies for node, _ in walk(body)]
    named = {node.text: node for node in nodes if isinstance(node, ControlToken)}
    left_out = [node.name[1:] for node in nodes if isinstance(node, Ref) and node.name[0] == "!"]
    return named | {text: ControlToken(text) for text in left_out}


def _resolve(
    rule: str, body: Node, names: Mapping[str, str], tokens: Mapping[str, ControlToken]
) -> Node:
    """`body` with its names respelled and `!<token>` written out."""
    uncounted: set[int] = set()
    for node, _ in walk(body):
        if isinstance(node, Repeat) and node.min <= 1 and node.max is None:
            uncounted.add(id(node.item))
        if not isinstance(node, Ref):
            continue
        assert isinstance(node.name, Token)
        if node.name[0] == "!":
            if id(node) not in uncounted:
                raise _Mistake(
                    f"{node.name} is one token, and how a text is cut into tokens is the model's "
                    f"own; write {node.name}* or {node.name}+ for any number of them",
                    node.name,
                )
        elif node.name not in names:
            raise _Mistake(
                f"rule {rule!r} uses {str(node.name)!r}, which is not defined", node.name
            )

    def visit(node: Node, below: list[Node]) -> Node:
        if not isinstance(node, Ref):
            return with_children(node, below)
        if node.name[0] != "!":
            return Ref(names[node.name])
        others = [token for text, token in tokens.items() if text != node.name[1:]]
        return Alt((CharClass(ANY), *others)) if others else CharClass(ANY)

    return fold(body, visit)


@cache
def _parser() -> Lark:
    # With LALR the builder runs inside the parser, on its explicit stack: no tree, no recursion
    return Lark(_GBNF, parser="lalr", transformer=_Builder())


if TYPE_CHECKING:
    _Transformer = Transformer[Token, object]
else:
    _Transformer = Transformer


@v_args(inline=True)
class _Builder(_Transformer):
    """One method per alias of the grammar; each makes the node."""

    def start(self, *rules: tuple[Token, Node]) -> list[tuple[Token, Node]]:
        return list(rules)

    def rule(self, head: Token, body: Node) -> tuple[Token, Node]:
        return head, body

    def alternatives(self, *options: Node) -> Node:
        return options[0] if len(options) == 1 else Alt(options)

    def sequence(self, *items: Node) -> Node:
        if len(items) == 1:
            return items[0]
        return Sequence(items) if items else EMPTY

    def text(self, token: Token) -> Node:
        codes, at = [], 1
        while at < len(token) - 1:
            code, at = _read_char(token, at)
            codes.append(code)
        return Literal("".join(map(chr, codes)))

    def char_class(self, token: Token) -> Node:
        negated = token[1] == "^"
        at = 1 + negated
        if at == len(token) - 1:
            raise _Mistake("an empty class; write . for any character, \\] for a bracket", token)
        ranges = []
        while at < len(token) - 1:
            start = at
            low, at = _read_char(token, at)
            high = low
            if token[at] == "-" and at + 1 < len(token) - 1:
                high, at = _read_char(token, at + 1)
                if high < low:
                    raise _Mistake(f"the range {token[start:at]} runs backwards", token, start)
            ranges.append((low, high))
        inside = union(ranges)
        return CharClass(complement(inside) if negated else inside)

    def any_char(self, *_: Token) -> Node:
        return CharClass(ANY)

    def reference(self, token: Token) -> Node:
        return Ref(token)

    def token(self, token: Token) -> Node:
        text = token.lstrip("!")
        if not TOKEN.fullmatch(text):
            raise _Mistake(
                f"{token} is no token; write the text of a control token, as in <think>, or its "
                "number, as in <[12]>",
                token,
            )
        return Ref(token) if token[0] == "!" else ControlToken(str(text))

    def repeat(self, item: Node, token: Token) -> Node:
        if token in ("*", "+", "?"):
            low, high = {"*": (0, None), "+": (1, None), "?": (0, 1)}[str(token)]
            return Repeat(item, low, high)
        digits = re.findall("[0-9]+", token)
        if max(map(len, digits)) > 9 or max(map(int, digits)) > MAX_REPETITIONS:
            raise _Mistake(f"more than {MAX_REPETITIONS:,} repetitions; use a smaller bound", token)
        low = int(digits[0])
        open_ended = None if "," in token else low
        high = int(digits[1]) if len(digits) == 2 else open_ended
        if high is not None and high < low:
            raise _Mistake(f"the bounds {token} run backwards; swap them", token)
        return Repeat(item, low, high)


def _read_char(token: Token, at: int) -> tuple[int, int]:
    """The code point written at `at` in a text or class, and where it goes on."""
    code, end = ord(token[at]), at + 1
    if token[at] == "\\":
        found = _ESCAPE.match(token, at)
        if found is None:
            raise _Mistake(
                f'unknown escape {token[at : at + 2]}; there are \\t \\r \\n \\\\ \\" \\[ \\] \\- '
                "\\xHH \\uHHHH \\UHHHHHHHH",
                token,
                at,
            )
        end = found.end()
        named = found["named"]
        code = ord(_NAMED.get(named, named)) if named else int(found[found.lastgroup or 0], 16)
    if code > MAX_CODE_POINT or SURROGATES[0] <= code <= SURROGATES[1]:
        raise _Mistake(f"{token[at:end]!r} is no Unicode character", token, at)
    return code, end


def _error(text: str, message: str, line: int, column: int) -> GrammarError:
    shown = pointed(text, line, column)
    return GrammarError(f"gbnf line {line}, column {column}: {message}\n{shown}", line, column)


def _refuse(text: str, error: UnexpectedInput) -> NoReturn:
    """Raises lark's complaint as ours, with what was probably meant."""
    if isinstance(error, UnexpectedCharacters):
        found, kind = repr(error.char), error.char
    else:
        token = getattr(error, "token", None)
        kind = token.type if isinstance(token, Token) else "$END"
        found = "end of the text" if kind == "$END" else repr(str(token))
    line, column = error.line, error.column
    if kind == "$END" or line < 1:
        line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
    hint = MISTAKES.get(kind, "expected name ::= body, or a text, a class, a name or a group")
    raise _error(text, f"unexpected {found}: {hint}", line, column) from error
