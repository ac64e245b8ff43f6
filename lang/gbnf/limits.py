"""How rules that begin with rules weigh on llama.cpp, which follows every such path at once.

When it loads a grammar it walks all paths of rules that begin with each other, again for each path
(`llama_grammar_detect_left_recursion`), and to start it copies a stack for each of them. Both are
a matter of milliseconds or of minutes; it is never asked for the latter.
"""

from __future__ import annotations

from graphlib import TopologicalSorter

from ..errors import GrammarError
from ..ir.beginnings import leading_references
from ..ir.facts import nullable_rules
from ..ir.nodes import Alt, Node, Ref, Rules, Seq

_MAX_PATHS = 200_000
_MAX_LENGTH = 10_000
_MAX_STACK = 600


def check_beginnings(rules: Rules) -> None:
    """Raises GrammarError if llama.cpp would hang or overflow its stack over these rules."""
    empty_names = nullable_rules(rules)
    leading = {name: leading_references(body, empty_names) for name, body in rules.rules.items()}
    paths: dict[str, int] = {}
    length: dict[str, int] = {}
    stack: dict[str, int] = {}
    for name in TopologicalSorter(leading).static_order():
        firsts = leading[name]
        last = _last_references(rules.rules[name])
        paths[name] = 1 + sum(times * paths[other] for other, times in firsts.items())
        length[name] = 1 + max((length[other] for other in firsts), default=0)
        stack[name] = max((stack[other] + (other not in last) for other in firsts), default=0)
        if paths[name] > _MAX_PATHS or length[name] > _MAX_LENGTH or stack[name] > _MAX_STACK:
            raise GrammarError(
                f"gbnf: rule {name!r} begins with rules that begin with rules, in so many ways or "
                "so deep that llama.cpp would hang; let alternatives begin with different texts, "
                "or run the grammar in treegram's own engine"
            )


def _last_references(body: Node) -> set[str]:
    """The rules that `body` can end with, and that leave nothing on llama.cpp's stack."""
    found: set[str] = set()
    todo = [body]
    while todo:
        match todo.pop():
            case Ref(name):
                found.add(name)
            case Alt(options):
                todo += options
            case Seq(items) if items:
                todo.append(items[-1])
            case _:
                pass
    return found
