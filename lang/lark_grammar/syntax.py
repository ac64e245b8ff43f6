"""The text of a Lark grammar as definitions, read with the grammar of Lark's syntax that Lark has.

Only what stands there: names are not looked up, and nothing has a meaning yet. The trees in a
definition are those of `lark.lark`, which Lark ships.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import NoReturn, TypeAlias

from lark import Lark, Token, Tree, UnexpectedCharacters, UnexpectedInput

from ..caret import pointed
from ..errors import GrammarError

MAX_CHARACTERS = 200_000
_MAX_DEPTH = 60

SyntaxTree: TypeAlias = "Tree[Token]"

MISTAKES = {
    "'": 'texts stand in double quotes, as in "yes"',
    '"': 'unclosed text; add the closing quote, or write \\" for a quote inside',
    "/": "unclosed regular expression; add the closing /, or write \\/ for a slash inside",
    "=": "a rule is written name: body",
    "{": "a template is used as name{argument}; a number of times is written ~3 or ~1..5",
    "<": "references to tokens are not Lark's, and not supported; write the text",
    "%": "there are %import and %ignore; %json, %regex and others are not supported",
    "\ufeff": "a byte order mark; read the file with encoding='utf-8-sig'",
    "$END": "something is not closed or not finished",
    "_NL": "the line ends too early; close the bracket, or go on after a '|'",
    "RPAR": "a ')' that closes nothing",
    "RSQB": "a ']' that closes nothing",
    "OP": "nothing to repeat before it",
}
"""What is probably meant, by the character or the kind of token that could not stand there."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A rule or terminal: its `name` where it is defined, its parameters, and the tree of its body.

    `library`: it comes from a grammar that Lark ships, whose other terminals it uses.
    """

    name: Token
    parameters: tuple[str, ...]
    body: SyntaxTree
    library: bool = False


@dataclass(slots=True)
class LarkGrammar:
    """What a grammar defines, by name (a rule's without `?` and `!`), and what may be ignored."""

    definitions: dict[str, Definition] = field(default_factory=dict)
    ignored: list[SyntaxTree] = field(default_factory=list)


def parse_lark(text: str) -> LarkGrammar:
    """The definitions in `text`. Raises GrammarError, or Mistake for what is no syntax of ours."""
    if len(text) > MAX_CHARACTERS:
        raise GrammarError(f"lark: more than {MAX_CHARACTERS:,} characters; make it smaller")
    grammar = LarkGrammar()
    for statement in _statements(text):
        _add(grammar, statement)
    return grammar


@cache
def common_terminals() -> dict[str, Definition]:
    """What `%import common...` finds: the terminals of Lark's own `common.lark`."""
    source = files("lark").joinpath("grammars", "common.lark").read_text()
    grammar = LarkGrammar()
    for statement in _statements(source):
        _define(grammar, statement, library=True)
    return grammar.definitions


class Mistake(Exception):
    """What is wrong `offset` characters into `token`."""

    def __init__(self, message: str, token: Token, offset: int = 0) -> None:
        super().__init__(message)
        self.line, self.column = token.line or 1, (token.column or 1) + offset


def error_at(text: str, message: str, line: int, column: int) -> GrammarError:
    """An error with its place in the grammar `text`."""
    shown = pointed(text, line, column)
    return GrammarError(f"lark line {line}, column {column}: {message}\n{shown}", line, column)


def first_token(tree: SyntaxTree | Token) -> Token:
    """The leftmost token of `tree`, which says where it stands."""
    todo: list[SyntaxTree | Token] = [tree]
    while todo:
        found = todo.pop()
        if isinstance(found, Token):
            return found
        todo += reversed(found.children)
    raise AssertionError("only an empty alternative has no token, and it is never wrong")


@cache
def _parser() -> Lark:
    return Lark.open_from_package(
        "lark", "lark.lark", ("grammars",), parser="lalr", maybe_placeholders=False
    )


def _statements(text: str) -> list[SyntaxTree]:
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        _refuse(text, error)
    _check_depth(tree)
    return [child for child in tree.children if isinstance(child, Tree)]


def _check_depth(tree: SyntaxTree) -> None:
    level: list[SyntaxTree] = [tree]
    for _ in range(3 * _MAX_DEPTH):
        level = [child for tree in level for child in tree.children if isinstance(child, Tree)]
    level = [tree for tree in level if tree.children]
    if level:
        raise Mistake(f"nested more than {_MAX_DEPTH} levels deep", first_token(level[0]))


def _add(grammar: LarkGrammar, statement: SyntaxTree) -> None:
    match statement.data:
        case "rule" | "token":
            _define(grammar, statement, library=False)
        case "ignore":
            [body] = statement.children
            assert isinstance(body, Tree)
            grammar.ignored.append(body)
        case "import" | "multi_import":
            for name, alias in _imported(statement):
                terminal = common_terminals()[name]
                _put(grammar, Definition(alias, (), terminal.body, library=True))
        case kind:
            raise Mistake(
                f"%{str(kind).partition('_')[0]} is not supported: every rule and terminal needs "
                "its definition, once",
                first_token(statement),
            )


def _define(grammar: LarkGrammar, statement: SyntaxTree, library: bool) -> None:
    name, parameters, *_, body = statement.children
    assert isinstance(name, Token)
    assert isinstance(parameters, Tree)
    assert isinstance(body, Tree)
    bare = name.update(value=name.lstrip("?!"))
    _put(grammar, Definition(bare, tuple(map(str, parameters.children)), body, library))


def _put(grammar: LarkGrammar, definition: Definition) -> None:
    name = definition.name
    earlier = grammar.definitions.setdefault(str(name), definition)
    if earlier is not definition:
        raise Mistake(f"{name} is already defined in line {earlier.name.line}", name)


def _imported(statement: SyntaxTree) -> Iterator[tuple[str, Token]]:
    """The terminals of an import, and the names that they get."""
    path, *rest = statement.children
    assert isinstance(path, Tree)
    steps = [first_token(step) for step in path.children if isinstance(step, Tree)]
    if statement.data == "multi_import":
        [names] = rest
        assert isinstance(names, Tree)
        pairs = [(first_token(name), first_token(name)) for name in names.children]
    else:
        taken = steps.pop()
        pairs = [(taken, first_token(rest[0]) if rest else taken)]
    if [str(step) for step in steps] != ["common"] or path.children[0] == ".":
        raise Mistake(
            "only terminals of `common` can be imported; copy others into the grammar", pairs[0][0]
        )
    for name, alias in pairs:
        if name not in common_terminals():
            raise Mistake(f"`common` has no terminal {name}", name)
        yield str(name), alias


def _refuse(text: str, error: UnexpectedInput) -> NoReturn:
    """Raises lark's complaint as ours, with what was probably meant."""
    line, column = error.line, error.column
    if isinstance(error, UnexpectedCharacters):
        found, kind = repr(error.char), error.char
    else:
        token = getattr(error, "token", None)
        kind = token.type if isinstance(token, Token) else "$END"
        found = {"$END": "end of the text", "_NL": "end of the line"}.get(kind, repr(str(token)))
    if kind == "$END" or line < 1:
        line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
    hint = MISTAKES.get(kind, 'expected name: body, with texts "...", names and /expressions/')
    raise error_at(text, f"unexpected {found}: {hint}", line, column) from error
