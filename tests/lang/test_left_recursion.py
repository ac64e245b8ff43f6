"""Taking left recursion out keeps the language."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping

import pytest

from treegram.lang.automaton.automaton import Automaton
from treegram.lang.automaton.reference import matches
from treegram.lang.errors import GrammarError
from treegram.lang.ir.check import check
from treegram.lang.ir.left_recursion import without_left_recursion
from treegram.lang.ir.nodes import EMPTY, Alt, Literal, Node, Ref, Repeat, Rules, Seq

A, B, X = Literal("a"), Literal("b"), Literal("x")
R, S, T = Ref("r"), Ref("s"), Ref("t")

GRAMMARS: dict[str, dict[str, Node]] = {
    "list": {"r": Alt((Seq((R, X, A)), A))},
    "two ways on": {"r": Alt((Seq((R, X)), Seq((R, B, R)), A))},
    "itself": {"r": Alt((R, Seq((R, X)), A))},
    "through another": {"r": Alt((Seq((S, X)), A)), "s": Alt((Seq((R, B)), B))},
    "three": {
        "r": Alt((Seq((S, X)), A)),
        "s": Alt((T, B)),
        "t": Alt((Seq((R, A)), Seq((S, B)), X)),
    },
    "behind what may be empty": {"r": Alt((Seq((Repeat(X, 0, 1), R, B)), A))},
    "behind a rule": {"r": Alt((Seq((S, R, B)), A)), "s": Alt((EMPTY, X))},
    "in a repetition": {"r": Alt((Seq((Repeat(Seq((R, X)), 0, 2), B)), A))},
    "in a group": {"r": Seq((Alt((Seq((Alt((R, S)), X)), A)), Repeat(B, 0, 1))), "s": B},
    "calculator": {
        "r": Alt((Seq((R, X, S)), S)),
        "s": Alt((Seq((S, B, T)), T)),
        "t": Alt((A, Seq((Literal("("), R, Literal(")"))))),
    },
    "only names": {"r": Alt((S, A)), "s": Alt((R, B, Seq((R, X))))},
    "value and call": {
        "r": Alt((S, A)),
        "s": Alt((Seq((R, Literal("("), R, Literal(")"))), T)),
        "t": Seq((R, X, A)),
    },
    "none": {"r": Alt((Seq((A, R)), B))},
}


def derived(bodies: Mapping[str, Node], longest: int) -> dict[str, set[str]]:
    """The texts of each rule by growing them from nothing, so that left recursion is no matter."""
    known: dict[str, set[str]] = {name: set() for name in bodies}

    def texts(node: Node) -> set[str]:
        match node:
            case Literal(text):
                return {text} if len(text) <= longest else set()
            case Ref(name):
                return known[name]
            case Alt(options):
                return set().union(*map(texts, options))
            case Seq(items):
                found = {""}
                for item in items:
                    found = {a + b for a in found for b in texts(item) if len(a + b) <= longest}
                return found
            case Repeat(item, low, high):
                found, total = {""}, set[str]()
                for count in range((longest if high is None else high) + 1):
                    total |= found if count >= low else set()
                    found = {a + b for a in found for b in texts(item) if len(a + b) <= longest}
                return total
            case _:
                raise AssertionError(node)

    while True:
        grown = {name: texts(body) for name, body in bodies.items()}
        if grown == known:
            return known
        known = grown


@pytest.mark.parametrize("name", GRAMMARS)
def test_the_language_stays(name: str) -> None:
    bodies = GRAMMARS[name]
    expected = derived(bodies, 5)["r"]
    rules = without_left_recursion(Rules("r", bodies))
    check(rules)
    alphabet = sorted(set("".join(expected)))
    for length in range(6):
        for letters in itertools.product(alphabet, repeat=length):
            text = "".join(letters)
            assert matches(rules, text) == (text in expected), text


def test_recursion_through_what_may_be_empty_is_solved_or_found() -> None:
    solved = without_left_recursion(Rules("r", {"r": Alt((Seq((R, Repeat(X, 0, None))), A))}))
    check(solved)
    assert matches(solved, "axx")
    maybe = Repeat(X, 0, 1)
    endless = {"r": Alt((Seq((S, maybe)), A)), "s": Alt((Seq((R, maybe)), B))}
    with pytest.raises(GrammarError, match="left recursion"):
        check(without_left_recursion(Rules("r", endless)))


def test_many_rules_take_no_recursion() -> None:
    count = 5_000
    bodies: dict[str, Node] = {f"r{i}": Alt((Ref(f"r{i + 1}"), A)) for i in range(count)}
    bodies[f"r{count}"] = Alt((Seq((Ref(f"r{count}"), X)), B))
    rules = without_left_recursion(Rules("r0", bodies))
    assert matches(Rules(f"r{count}", rules.rules), "bxx")


def ring(count: int, others: int) -> Rules:
    """Rules that all begin with each other: the next one, and so many more."""
    bodies: dict[str, Node] = {}
    for i in range(count):
        firsts = [(i + 1 + step) % count for step in range(others + 1)]
        options = [Seq((Ref(f"r{first}"), Literal(f"x{i} "))) for first in firsts]
        bodies[f"r{i}"] = Alt((*options, Literal(f"a{i} ")))
    return Rules("r0", bodies)


def test_a_circle_of_a_hundred_rules() -> None:
    begun = time.thread_time()
    rules = without_left_recursion(ring(100, 0))
    check(rules)
    assert time.thread_time() - begun < 3
    automaton = Automaton(rules)
    assert automaton.accepts(b"a3 x2 x1 x0 ")
    assert automaton.accepts(b"a1 x0 " + b"".join(b"x%d " % i for i in range(99, -1, -1)))
    assert not automaton.accepts(b"a3 x2 x1 ")


@pytest.mark.parametrize(("count", "others"), [(100, 99), (400, 0), (60, 30)])
def test_circles_with_too_many_ways_are_refused_in_time(count: int, others: int) -> None:
    begun = time.thread_time()
    with pytest.raises(GrammarError, match="in more than 100,000 ways; write it as a repetition"):
        without_left_recursion(ring(count, others))
    assert time.thread_time() - begun < 3
