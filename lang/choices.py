"""A list of choices as a prefix tree: what they share is written once.

llama.cpp's sampler tries every alternative on every token, so a flat list of 1,000 takes 300 ms a
step and a tree of them 10 to 20. A branch that is deep or large becomes a rule of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from .automaton.word_list import MIN_WORDS
from .errors import ParameterError
from .ir.nodes import EMPTY, SURROGATES, Alt, Literal, Node, Ref, Repeat, Rules, Seq, Terminal

MAX_CHOICES = 200_000

_MAX_FORKS_IN_RULE = 8
"""Forks nested in one rule; more would be hard to read, and deep grammars crash llama.cpp."""

_MAX_NODES_IN_RULE = 64
"""Nodes after which a branch is a rule: the automaton writes a rule when it first comes there."""

_FEW_WORDS = 1000
_LISTED = 12
"""Of more than a few words, so many are listed and not taken apart: a third of the nodes."""

_SURROGATE = re.compile(f"[{chr(SURROGATES[0])}-{chr(SURROGATES[1])}]")


def checked_choices(choices: Iterable[str]) -> tuple[str, ...]:
    """`choices` as a tuple, in order.

    Raises ParameterError if there are none, or if one is not a str, is empty, comes twice or cannot
    be encoded as UTF-8. Numbers are not turned into text: `1.0` has more than one spelling.
    """
    if isinstance(choices, (str, bytes, Mapping)) or not isinstance(choices, Iterable):
        raise ParameterError(
            "choices", f"expected a list of strings, got {type(choices).__name__} {choices!r}"
        )
    listed = tuple(choices)
    if len(listed) > MAX_CHOICES:
        raise ParameterError(
            "choices", f"{len(listed):,} strings; at most {MAX_CHOICES:,}. Narrow them down first"
        )
    if not listed:
        raise ParameterError("choices", "the list is empty; give at least one string")
    first_at: dict[str, int] = {}
    for index, choice in enumerate(listed):
        if not isinstance(choice, str):
            raise ParameterError(
                "choices",
                f"[{index}] is {type(choice).__name__} {choice!r}, expected a str; "
                f"write it as the model should, such as {str(choice)!r}",
            )
        if not choice:
            raise ParameterError(
                "choices", f"[{index}] is the empty string; name the absence, such as 'none'"
            )
        if _SURROGATE.search(choice):
            raise ParameterError(
                "choices", f"[{index}] {choice!r} holds half of a surrogate pair, which is no text"
            )
        if choice in first_at:
            raise ParameterError(
                "choices",
                f"[{index}] {choice!r} is already at [{first_at[choice]}]; list each choice once",
            )
        first_at[choice] = index
    return listed


def choices_to_rules(choices: Iterable[str]) -> Rules:
    """The grammar of exactly these choices. Raises as `checked_choices` does.

    A few are a prefix tree, which reads well; the engine runs a long list as it is.
    """
    words = checked_choices(choices)
    if len(words) >= MIN_WORDS:
        return Rules("root", {"root": Terminal(Alt(tuple(map(Literal, words))))})
    root, deeper = prefix_tree(words, "rest")
    return Rules("root", {"root": root, **deeper})


def prefix_tree(words: Iterable[str], prefix: str) -> tuple[Node, dict[str, Node]]:
    """The tree of these distinct words, and the rules for what lies too deep in it.

    The rules are called `prefix-1`, `prefix-2` and so on. The words are sorted, so that a branch is
    done as soon as a word leaves it: the branches that the last word is in form a stack.
    """
    listed = sorted(words)
    tree = _Tree(listed, prefix)
    branches = [_Branch(0, 0)]
    last = ""
    for index, word in enumerate(listed):
        shared = _shared(last, word)
        while branches[-1].depth > shared:
            done = branches.pop()
            done.end = index
            if branches[-1].depth < shared:  # they part in the middle of its text
                branches.append(_Branch(shared, done.first))
            tree.add(branches[-1], done)
        if branches[-1].depth < shared:
            branches.append(_Branch(shared, index - 1))
        branches.append(_Branch(len(word), index, ends=True))
        last = word
    while len(branches) > 1:
        done = branches.pop()
        done.end = len(listed)
        tree.add(branches[-1], done)
    branches[0].end = len(listed)
    return tree.node(branches[0]), tree.rules


class _Branch:
    """Where the words number `first` to `end` go on, which agree on their first `depth` characters.

    `ends`: the first one ends there. `below`: where they part. `size`, `forks`: nodes, and how deep
    they fork.
    """

    __slots__ = ("below", "depth", "end", "ends", "first", "forks", "size")

    def __init__(self, depth: int, first: int, ends: bool = False) -> None:
        self.depth = depth
        self.first = first
        self.end = first
        self.ends = ends
        self.below: list[_Branch | Node] = []
        self.size = 1
        self.forks = 0


class _Tree:
    """Makes nodes of branches; `rules` gets what lies too deep, or is large."""

    def __init__(self, words: list[str], prefix: str) -> None:
        self.rules: dict[str, Node] = {}
        self._words = words
        self._prefix = prefix
        self._listed = 1 if len(words) <= _FEW_WORDS else _LISTED

    def add(self, branch: _Branch, done: _Branch) -> None:
        """Adds a branch that is done to the one that it leaves."""
        if done.end - done.first <= self._listed:
            branch.below.append(done)  # still to be seen whether `branch` lists its words, too
            branch.size += done.end - done.first
            return
        node = self.node(done)
        if done.forks >= _MAX_FORKS_IN_RULE or done.size > _MAX_NODES_IN_RULE:
            name = f"{self._prefix}-{len(self.rules) + 1}"
            self.rules[name] = node
            node, done.forks, done.size = Ref(name), 0, 1
        branch.below.append(self._led(branch, done, node))
        branch.size += done.size + 1
        branch.forks = max(branch.forks, done.forks + 1)

    def node(self, branch: _Branch) -> Node:
        """What can follow in `branch`, which is done."""
        words = self._words[branch.first : branch.end]
        if 1 < len(words) <= self._listed:
            return Alt(tuple([Literal(word[branch.depth :]) for word in words]))
        options = [
            self._led(branch, below, self.node(below)) if isinstance(below, _Branch) else below
            for below in branch.below
        ]
        if not options:
            return EMPTY
        node = options[0] if len(options) == 1 else Alt(tuple(options))
        return Repeat(node, 0, 1) if branch.ends else node

    def _led(self, branch: _Branch, below: _Branch, node: Node) -> Node:
        """`node` after the text from `branch` to `below`."""
        text = Literal(self._words[below.first][branch.depth : below.depth])
        return text if node == EMPTY else Seq((text, node))


def _shared(first: str, second: str) -> int:
    """How many characters the two have in common at the start."""
    for at, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return at
    return min(len(first), len(second))
