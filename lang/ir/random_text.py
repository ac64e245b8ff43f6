"""Random texts of a grammar: to see what a constraint lets through, and to test it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

from ..automaton.reference_json import JsonValue, json_value
from ..automaton.reference_texts import pieces
from ..errors import GrammarError
from .dfa import Dfa
from .measured import Measured
from .needs import without_needs
from .nodes import (
    Alt,
    CharClass,
    ControlToken,
    Element,
    Literal,
    Members,
    Node,
    Ref,
    Repeat,
    Rules,
    Seq,
    Substring,
    Terminal,
    Unique,
)

_MORE = 3
_TALLEST = 1e9  # any finite height
_TRIES = 30
_ALL_TRIES = 5000
_LONG_WALK = 12
_WAYS = 16


def random_text(rules: Rules, rng: random.Random, max_depth: int = 12) -> str:
    """A text of `rules`, which must match something; every text of small counts can come out.

    Repetitions run at most three times more than they must. Below `max_depth` nested rules, the
    shortest way to an end is taken. Raises GrammarError if no values that differ, or no text that
    is not excluded, turn up in some thousand attempts.
    """
    try:
        return _Writer(rules, rng, max_depth).text(Ref(rules.root), 0)
    except _NotFound:
        raise GrammarError(
            "grammar: no random text found whose elements differ and which is not excluded"
        ) from None


class _NotFound(Exception):
    """Chance has led to where nothing allowed was found."""


class _Writer:
    def __init__(self, rules: Rules, rng: random.Random, max_depth: int) -> None:
        self.rules = rules.rules
        self.rng = rng
        self.max_depth = max_depth
        self.tries_left = _ALL_TRIES
        self.seen: set[JsonValue] = set()  # values of the elements of the innermost Unique
        self.heights: dict[str, float] = dict.fromkeys(self.rules, math.inf)
        while True:
            heights = {name: 1 + self.height(node) for name, node in self.rules.items()}
            if heights == self.heights:
                break
            self.heights = heights

    def height(self, node: Node) -> float:
        """How many rules deep the shallowest text of `node` is; infinite if there is none."""
        match node:
            case Literal() | ControlToken():
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
            case Dfa():
                return math.inf if node.is_empty() else 0
            case Measured():
                return 0 if node.fits(node.remainders(), 0, 0) else math.inf
            case Substring(text, words):
                return 0 if pieces(text, words) else math.inf
            case Members() if node.needs:
                return min(map(self.height, self._settled(node)), default=math.inf)
            case Members():
                return max(map(self.height, self._fewest(node)), default=0)
            case Terminal(inner) | Unique(inner) | Element(inner):
                return self.height(inner)

    def _fewest(self, node: Members) -> list[Node]:
        """The members of the shallowest object."""
        optional = [member.rest for member in node.members if not member.required]
        needed = [member.rest for member in node.members if member.required]
        optional.sort(key=self.height)
        while len(needed) < node.min:
            if optional and self.height(optional[0]) < math.inf:
                needed.append(optional.pop(0))
            else:
                return [*needed, node.extra or Alt(())]
        return needed

    def text(self, node: Node, depth: int) -> str:
        match node:
            case Literal(text) | ControlToken(text):
                return text
            case CharClass(ranges):
                return self._char(ranges)
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
            case Dfa():
                return self._walk(node)
            case Measured():
                return self._measured_walk(node)
            case Substring(text, words):
                spans = pieces(text, words)
                first = self.rng.randrange(len(spans))
                return text[spans[first][0] : self.rng.choice(spans[first:])[1]]
            case Terminal(inner, excluded):
                return self._until(lambda: self.text(inner, depth), lambda t: t not in excluded)
            case Members() if node.needs:
                return self.text(Alt(tuple(self._settled(node))), depth)
            case Members():
                return self._members(node, depth)
            case Unique(body):
                return self._unique(body, depth)
            case Element(inner):
                return self._element(inner, depth)

    def _until(self, write: Callable[[], str], is_allowed: Callable[[str], bool]) -> str:
        for _ in range(_TRIES):
            self.tries_left -= 1
            if is_allowed(text := write()):
                return text
            if self.tries_left < 0:
                break
        raise _NotFound

    def _char(self, ranges: Sequence[tuple[int, int]]) -> str:
        low, high = self.rng.choice(ranges)
        return chr(self.rng.randint(low, self.rng.choice((high, min(high, low + 60)))))

    def _walk(self, dfa: Dfa) -> str:
        """A walk to acceptance: at random at first, then along the shortest way."""
        distance = _distances(dfa)
        text, state = "", 0
        while True:
            edges = [edge for edge in dfa.edges[state] if edge[2] in distance]
            if state in dfa.accepting and (not edges or self.rng.random() < 0.3):
                return text
            if len(text) > _LONG_WALK:
                if not distance[state]:
                    return text
                edges = [edge for edge in edges if distance[edge[2]] < distance[state]]
            low, high, state = self.rng.choice(edges)
            text += self._char([(low, high)])

    def _measured_walk(self, node: Measured) -> str:
        """Likewise; of an automaton whose texts have bounded lengths."""
        remainders = node.remainders()
        text, state, count = "", 0, 0
        while True:
            ways = [
                (low, high, to, node.counted(count, to)) for low, high, to in node.dfa.edges[state]
            ]
            ways = [way for way in ways if node.fits(remainders, *way[2:])]
            if (
                state in node.dfa.accepting
                and count >= node.min
                and (not ways or len(text) > _LONG_WALK or self.rng.random() < 0.3)
            ):
                return text
            if len(text) > _LONG_WALK:
                left = [remainders.least(to, node.min - n) + n for _, _, to, n in ways]
                ways = [way for way, n in zip(ways, left, strict=True) if n == min(left)]
            low, high, state, count = self.rng.choice(ways)
            text += self._char([(low, high)])

    def _settled(self, node: Members) -> list[Members]:
        """Some of the ways in which members can come with those that they need."""
        return without_needs(node, lambda ways: self.rng.sample(ways, min(_WAYS, len(ways))))

    def _members(self, node: Members, depth: int) -> str:
        required = [member for member in node.members if member.required]
        optional = [m for m in node.members if not m.required and self.height(m.rest) < math.inf]
        has_extra = node.extra is not None and self.height(node.extra) < math.inf
        low = max(node.min, len(required))
        high = low + _MORE + len(optional)
        if depth >= self.max_depth or self.height(node.separator) == math.inf:
            high = low
        if node.max is not None:
            high = min(high, node.max)
        if not has_extra:
            high = min(high, len(required) + len(optional))
        more = self.rng.randint(low, high) - len(required)
        count = self.rng.randint(0, min(more, len(optional))) if has_extra else more
        taken = [*required, *self.rng.sample(optional, count)]
        chosen: list[Node] = [
            Seq((Literal(member.key), member.rest)) for member in node.members if member in taken
        ]
        if node.extra is not None:
            chosen += [node.extra] * (more - count)
        if not node.ordered:
            self.rng.shuffle(chosen)
        text = ""
        for count, member in enumerate(chosen):
            text += (self.text(node.separator, depth) if count else "") + self.text(member, depth)
        return text

    def _unique(self, body: Node, depth: int) -> str:
        outside = self.seen
        try:
            for attempt in range(_TRIES):
                self.seen = set()
                try:
                    return self.text(body, depth if attempt < _TRIES // 2 else self.max_depth)
                except _NotFound:
                    if self.tries_left < 0:
                        raise
            raise _NotFound
        finally:
            self.seen = outside

    def _element(self, node: Node, depth: int) -> str:
        text = self._until(
            lambda: self.text(node, depth), lambda text: json_value(text) not in self.seen
        )
        self.seen.add(json_value(text))
        return text


def _distances(dfa: Dfa) -> dict[int, int]:
    """How far from acceptance each state is; a state from which there is no way is left out."""
    sources: dict[int, list[int]] = {}
    for state, edges in enumerate(dfa.edges):
        for *_, to in edges:
            sources.setdefault(to, []).append(state)
    found = dict.fromkeys(dfa.accepting, 0)
    todo = list(found)
    for state in todo:  # grows while it is walked
        for source in sources.get(state, ()):
            if source not in found:
                found[source] = found[state] + 1
                todo.append(source)
    return found
