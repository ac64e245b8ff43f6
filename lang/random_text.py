"""Random texts of a grammar: to see what a constraint lets through, and to test it."""

from __future__ import annotations

import math
import random

from .ir import Alt, CharClass, Literal, Node, Ref, Repeat, Rules, Seq

_MORE = 3
_TALLEST = 1e9  # any finite height


def random_text(rules: Rules, rng: random.Random, max_depth: int = 12) -> str:
    """A text of `rules`, which must match something; every text of small counts can come out.

    Repetitions run at most three times more than they must. Below `max_depth` nested rules, the
    shortest way to an end is taken.
    """
    return _Writer(rules, rng, max_depth).text(Ref(rules.root), 0)


class _Writer:
    def __init__(self, rules: Rules, rng: random.Random, max_depth: int) -> None:
        self.rules = rules.rules
        self.rng = rng
        self.max_depth = max_depth
        self.heights: dict[str, float] = dict.fromkeys(self.rules, math.inf)
        while True:
            heights = {name: 1 + self.height(node) for name, node in self.rules.items()}
            if heights == self.heights:
                break
            self.heights = heights

    def height(self, node: Node) -> float:
        """How many rules deep the shallowest text of `node` is; infinite if there is none."""
        match node:
            case Literal():
                return 0
            case CharClass(ranges):
                return 0 if ranges else math.inf
            case Seq(items):
                return max(map(self.height, items), default=0)
            case Alt(options):
                return min(map(self.height, options), default=math.inf)
            case Repeat(item, low, _):
                return self.height(item) if low else 0
            case Ref(name):
                return self.heights[name]

    def text(self, node: Node, depth: int) -> str:
        match node:
            case Literal(text):
                return text
            case CharClass(ranges):
                low, high = self.rng.choice(ranges)
                return chr(self.rng.randint(low, self.rng.choice((high, min(high, low + 60)))))
            case Seq(items):
                return "".join(self.text(item, depth) for item in items)
            case Alt(options):
                heights = {option: self.height(option) for option in options}
                limit = min(heights.values()) if depth >= self.max_depth else _TALLEST
                usable = [option for option in options if heights[option] <= limit]
                return self.text(self.rng.choice(usable), depth)
            case Repeat(item, low, high):
                most = low + _MORE if high is None else min(high, low + _MORE)
                if depth >= self.max_depth or self.height(item) == math.inf:
                    most = low
                count = self.rng.randint(low, most)
                return "".join(self.text(item, depth) for _ in range(count))
            case Ref(name):
                return self.text(self.rules[name], depth + 1)
