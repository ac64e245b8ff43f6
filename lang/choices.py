"""A list of choices as a prefix tree: what they share is written once.

llama.cpp's sampler tries every alternative on every token, so a flat list of 1,000 takes 300 ms a
step and a tree of them 10 to 20. The tree is built from the sorted choices; a branch that would lie
too deep in its rule becomes a rule of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import NamedTuple

from .errors import ParameterError
from .ir import SURROGATES, Alt, Literal, Node, Ref, Repeat, Rules, Seq

_MAX_FORKS_IN_RULE = 8
"""Forks nested in one rule; more would be hard to read, and deep grammars crash llama.cpp."""


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
        if any(SURROGATES[0] <= ord(char) <= SURROGATES[1] for char in choice):
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
    """The grammar of exactly these choices, left-factored. Raises as `checked_choices` does."""
    root, deeper = prefix_tree(checked_choices(choices), "rest")
    return Rules("root", {"root": root, **deeper})


def prefix_tree(words: Iterable[str], prefix: str) -> tuple[Node, dict[str, Node]]:
    """The tree of these distinct words, and the rules for what lies too deep in it.

    The rules are called `prefix-1`, `prefix-2` and so on.
    """
    rules: dict[str, Node] = {}
    cut = [_Branch(prefix, sorted(words), 0)]
    for branch in cut:  # grows while it is walked
        rules[branch.rule] = _tree(branch.words, branch.start, 0, cut)
    return rules.pop(prefix), rules


class _Branch(NamedTuple):
    """What goes on in `rule`: the sorted `words`, which agree before `start`."""

    rule: str
    words: list[str]
    start: int


def _tree(words: list[str], start: int, forks: int, cut: list[_Branch]) -> Node:
    """The tree of what the sorted `words` have from `start` on; branches too deep go to `cut`."""
    may_end = len(words[0]) == start
    options: list[Node] = []
    for _, group in groupby(words[may_end:], lambda word: word[start]):
        same = list(group)
        end = _shared_until(same[0], same[-1], start)  # sorted: all between share it too
        text = Literal(same[0][start:end])
        if len(same) == 1:
            options.append(text)
        elif forks < _MAX_FORKS_IN_RULE:
            options.append(Seq((text, _tree(same, end, forks + 1, cut))))
        else:
            cut.append(_Branch(f"{cut[0].rule}-{len(cut)}", same, end))
            options.append(Seq((text, Ref(cut[-1].rule))))
    node = options[0] if len(options) == 1 else Alt(tuple(options))
    return Repeat(node, 0, 1) if may_end else node


def _shared_until(first: str, last: str, start: int) -> int:
    """How far `first` and `last` agree; they do before `start`."""
    shorter = min(len(first), len(last))
    return next((at for at in range(start, shorter) if first[at] != last[at]), shorter)
