"""Lark grammars to IR, so that grammars written for the Lark parser constrain a model.

The texts are those that the grammar derives: rules, and terminals one after the other, with what
`%ignore` names allowed before, between and after them. How a lexer would choose between terminals
is no part of that, so priorities have no effect, and a text may be one that Lark's LALR parser
rejects because its lexer prefers another terminal. What shapes the parse tree (`?rule`, `!rule`,
`_rule`, `-> alias`) changes nothing either. Left recursion is taken out (`ir/left_recursion.py`).

As everywhere here, `\\d \\w \\s` are ASCII; `/\\w+/u` has them as Python's `re` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from lark import Token, Tree

from ..errors import GrammarError
from ..ir.check import check
from ..ir.left_recursion import without_left_recursion
from ..ir.nodes import EMPTY, Alt, Node, Ref, Repeat, Rules, Seq
from ..ir.rule_names import NewRules, respelled
from .syntax import Definition, LarkGrammar, Mistake, SyntaxTree, error_at, first_token, parse_lark
from .terminals import Terminals, repetition

_MAX_INSTANCES = 1000


def lark_to_rules(text: str, start: str = "start") -> Rules:
    """The rules of this Lark grammar; they start at its rule `start`.

    Raises GrammarError, with line and column, for text that is no Lark grammar, names without a
    definition, and what is not supported: `%declare`, `%override`, `%extend`, imports from anywhere
    but `common`, and regular expressions outside our dialect (`regex/expressions.py`).
    """
    try:
        built = _built(parse_lark(text), start)
    except Mistake as mistake:
        raise error_at(text, str(mistake), mistake.line, mistake.column) from mistake.__cause__
    rules = without_left_recursion(built)
    check(rules)
    return rules


def _built(grammar: LarkGrammar, start: str) -> Rules:
    definition = grammar.definitions.get(start)
    if definition is None or definition.name.type != "RULE":
        raise GrammarError(f"lark: no rule {start!r}, which is where the grammar starts; add one")
    return _Builder(grammar).build(start)


class _Pending(NamedTuple):
    """A body still to be lowered to the rule `name`, and what its parameters stand for."""

    name: str
    body: SyntaxTree
    arguments: Mapping[str, Node]


class _Builder:
    def __init__(self, grammar: LarkGrammar) -> None:
        self._definitions = grammar.definitions
        self._names = respelled(grammar.definitions)
        self._new_rules = NewRules(self._names.values())
        self._terminals = Terminals(grammar.definitions)
        self._ignored = grammar.ignored
        self._skip: Node = EMPTY
        self._todo: list[_Pending] = []
        self._instances: dict[tuple[str, tuple[Node, ...]], str] = {}

    def build(self, start: str) -> Rules:
        for definition in self._definitions.values():
            self._check_names(definition)
        if self._ignored:
            between = self._terminals.one_or_more(self._ignored)
            self._skip = Repeat(self._new_rules.define("ignored", between), 0, 1)
        root = self._instance(self._definitions[start].name.update(value=start), ())
        for pending in self._todo:  # grows while it is walked
            body = self._lower(pending.body, pending.arguments)
            self._new_rules.bodies[pending.name] = body
        if self._skip != EMPTY:
            root = self._new_rules.define("whole", Seq((root, self._skip)))
        return Rules(root.name, self._new_rules.bodies)

    def _check_names(self, definition: Definition) -> None:
        for tree in definition.body.iter_subtrees() if not definition.library else ():
            if tree.data == "name":
                name = first_token(tree)
                if str(name) not in self._definitions and name not in definition.parameters:
                    raise Mistake(f"{definition.name} uses {name}, which is not defined", name)

    def _lower(self, tree: SyntaxTree, arguments: Mapping[str, Node]) -> Node:
        match tree.data:
            case "expansions":
                return Alt(tuple(self._lowered(tree, arguments)))
            case "expansion":
                items = self._lowered(tree, arguments)
                return items[0] if len(items) == 1 else Seq(tuple(items))
            case "alias":
                return self._lowered(tree, arguments)[0]
            case "maybe":
                return Repeat(self._lowered(tree, arguments)[0], 0, 1)
            case "expr":
                return Repeat(self._lowered(tree, arguments)[0], *repetition(tree))
            case "template_usage":
                values = [child for child in tree.children[1:] if isinstance(child, Tree)]
                nodes = tuple(self._lower(value, arguments) for value in values)
                return self._instance(first_token(tree), nodes)
            case "name":
                name = first_token(tree)
                if name in arguments:
                    return arguments[str(name)]
                return self._reference(name)
            case _:
                return self._spaced(self._terminals.written(tree))

    def _lowered(self, tree: SyntaxTree, arguments: Mapping[str, Node]) -> list[Node]:
        return [self._lower(child, arguments) for child in tree.children if isinstance(child, Tree)]

    def _spaced(self, token: Node) -> Node:
        return token if self._skip == EMPTY else Seq((self._skip, token))

    def _reference(self, name: Token) -> Node:
        definition = self._definitions[str(name)]
        if definition.name.type == "RULE":
            return self._instance(name, ())
        spelled = self._names[str(name)]
        if spelled not in self._new_rules.bodies:
            self._new_rules.bodies[spelled] = self._terminals.defined(definition)
        return self._spaced(Ref(spelled))

    def _instance(self, name: Token, values: tuple[Node, ...]) -> Ref:
        """The rule of this name, with these values for its parameters."""
        definition = self._definitions[str(name)]
        if len(values) != len(definition.parameters):
            raise Mistake(
                f"{name} is used with {len(values)} arguments and defined with "
                f"{len(definition.parameters)}",
                name,
            )
        key = (str(name), values)
        if key not in self._instances:
            if len(self._instances) >= _MAX_INSTANCES and values:
                raise Mistake(
                    f"templates are used with more than {_MAX_INSTANCES} different arguments; "
                    f"does {name} use itself with ever longer ones?",
                    name,
                )
            spelled = self._names[str(name)]
            rule = self._new_rules.reserve(f"{spelled}-of") if values else spelled
            self._instances[key] = rule
            arguments = dict(zip(definition.parameters, values, strict=True))
            self._todo.append(_Pending(rule, definition.body, arguments))
        return Ref(self._instances[key])
