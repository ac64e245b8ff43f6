"""A grammar as a lazily determinised pushdown automaton over bytes.

A `Configuration` is every place in the grammar that the text so far can have led to: a set of
(network state, stack) pairs, closed under moves that consume nothing. Equal configurations are one
object, and each remembers where its bytes lead, so a second walk over the same ground is dict
look-ups. Stacks are linked and shared. Counted repetitions are numbers in stack frames
(`network.py`), so bounds cost nothing until they are near.

Configurations are immutable values apart from their memo, which only ever gains entries that any
thread would compute alike: an automaton may be used from several threads. They are objects, not
numbers, so that dropping the memo (at `MAX_CONFIGURATIONS`) never invalidates one that a running
generation still holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from .errors import GrammarError
from .ir import Rules
from .ir_graph import ALL_BYTES
from .network import RETURN, Loop, Network, lower

MAX_CONFIGURATIONS = 20_000
"""Interned configurations before the memo is dropped and begun again."""

MAX_PLACES = 20_000
"""Places in one configuration before the grammar is refused as too ambiguous."""

FORCED_LIMIT = 4096
"""Longest forced run that is reported at once, in bytes."""

_MANY = 1 << 60
"""A count that is out of reach: more iterations than the horizon has bytes."""


class Frame:
    """The top of a stack: where to return to, or which loop is counting, above `parent`.

    Made by an automaton, one object per distinct stack, compared by identity.
    `after` is the return state of a call; for a loop it is -1 - its index, and `low` and `high`
    are the iterations that it still must and may run, the current one included (None: no bound).
    """

    __slots__ = ("after", "high", "low", "parent")

    def __init__(self, parent: Frame | None, after: int, low: int, high: int | None) -> None:
        self.parent = parent
        self.after = after
        self.low = low
        self.high = high


Place: TypeAlias = tuple[int, Frame | None]


class Configuration:
    """All places a text can have led to. Made by an automaton; equal ones are identical.

    `accepting`: the text so far is complete. `places`: states that can consume a byte, with their
    stacks. There is none exactly if nothing can follow.
    """

    __slots__ = ("__weakref__", "accepting", "memo", "places")

    def __init__(self, places: frozenset[Place], accepting: bool) -> None:
        self.places = places
        self.accepting = accepting
        self.memo: dict[int, Configuration | None] = {}


class Successors(NamedTuple):
    """Where each byte leads: `targets[classes[byte]]`, None for a byte that is not legal."""

    classes: bytes
    targets: Sequence[Configuration | None]


class ForcedRun(NamedTuple):
    """The only text that can come next, and the configuration after it."""

    text: bytes
    end: Configuration


class Automaton:
    """Runs one grammar. Every configuration it hands out can be completed to an accepted text.

    `horizon`: the automaton is only asked about the next `horizon` bytes; counts beyond it are
    merged, which makes positions in a long counted run equal (see `adopt`).
    `alphabet`: bytes that can be written at all; texts with others are not in the language.

    Raises GrammarError if the grammar has no text, and, while it runs, if one text can be read in
    more than MAX_PLACES ways at once.
    """

    def __init__(
        self,
        rules: Rules | Network,
        *,
        alphabet: frozenset[int] = ALL_BYTES,
        horizon: int | None = None,
    ) -> None:
        self._network = rules if isinstance(rules, Network) else lower(rules, alphabet)
        self._horizon = horizon
        self._loops = [
            Loop(loop.body, loop.after, self._clip_low(loop.min), self._clip_high(loop.max))
            for loop in self._network.loops
        ]
        self._frames: dict[tuple[Frame | None, int, int, int | None], Frame] = {}
        self._configurations: dict[tuple[frozenset[Place], bool], Configuration] = {}
        start = self._close([(self._network.start, None)])
        assert start is not None, "lower() leaves no grammar without a text"
        self.start = start

    def _clip_low(self, count: int) -> int:
        return _MANY if self._horizon is not None and count > self._horizon else count

    def _clip_high(self, count: int | None) -> int | None:
        if self._horizon is not None and count is not None and count > self._horizon:
            return None
        return count

    def within(self, horizon: int) -> Automaton:
        """This grammar, exact for the next `horizon` bytes after any configuration it adopts."""
        return Automaton(self._network, horizon=horizon)

    def adopt(self, configuration: Configuration) -> Configuration:
        """The configuration here that agrees with another automaton's of the same grammar.

        Up to the horizon both allow the same bytes and accept alike: an iteration consumes at
        least one byte, so a count above the horizon cannot run out within it.
        """
        translated: dict[Frame, Frame] = {}
        places = []
        for state, stack in configuration.places:
            chain = []
            frame = stack
            while frame is not None and frame not in translated:
                chain.append(frame)
                frame = frame.parent
            for original in reversed(chain):
                parent = None if original.parent is None else translated[original.parent]
                translated[original] = self._push(
                    parent,
                    original.after,
                    self._clip_low(original.low),
                    self._clip_high(original.high),
                )
            places.append((state, None if stack is None else translated[stack]))
        return self._intern(frozenset(places), configuration.accepting)

    def step(self, configuration: Configuration, byte: int) -> Configuration | None:
        """The configuration after one more byte, or None if that byte is not legal."""
        try:
            return configuration.memo[byte]
        except KeyError:
            edges = self._network.edges
            target = self._close(
                [
                    (target, stack)
                    for state, stack in configuration.places
                    for first, last, target in edges[state]
                    if first <= byte <= last
                ]
            )
            configuration.memo[byte] = target
            return target

    def run(self, configuration: Configuration, data: Iterable[int]) -> Configuration | None:
        """The configuration after `data`, or None if it is not legal."""
        current: Configuration | None = configuration
        for byte in data:
            if current is None:
                return None
            current = self.step(current, byte)
        return current

    def successors(self, configuration: Configuration) -> Successors:
        """Where all 256 bytes lead, computed once per class of bytes that behave alike."""
        edges = self._network.edges
        moves = [
            (first, last, (target, stack))
            for state, stack in configuration.places
            for first, last, target in edges[state]
        ]
        bounds = sorted({0, *(move[0] for move in moves), *(move[1] + 1 for move in moves)} - {256})
        segment_of = {bound: i for i, bound in enumerate([*bounds, 256])}
        segments: list[list[Place]] = [[] for _ in bounds]
        for first, last, place in moves:
            for i in range(segment_of[first], segment_of[last + 1]):
                segments[i].append(place)
        targets: list[Configuration | None] = []
        known: dict[frozenset[Place], int] = {}
        classes = bytearray()
        for i, places in enumerate(segments):
            key = frozenset(places)
            if key not in known:
                known[key] = len(targets)
                targets.append(self._close(places))
            width = (bounds[i + 1] if i + 1 < len(bounds) else 256) - bounds[i]
            classes += bytes([known[key]]) * width
        return Successors(bytes(classes), targets)

    def next_bytes(self, configuration: Configuration) -> bytes:
        """The legal next bytes, in ascending order."""
        legal: set[int] = set()
        for state, _ in configuration.places:
            for first, last, _ in self._network.edges[state]:
                legal.update(range(first, last + 1))
        return bytes(sorted(legal))

    def forced_byte(self, configuration: Configuration) -> int | None:
        """The byte that must come next, or None if there is a choice (stopping is one)."""
        if configuration.accepting:
            return None
        only: int | None = None
        for state, _ in configuration.places:
            for first, last, _ in self._network.edges[state]:
                if first != last or (only is not None and first != only):
                    return None
                only = first
        return only

    def forced_run(self, configuration: Configuration, limit: int = FORCED_LIMIT) -> ForcedRun:
        """The text that must come next whatever is chosen later; at most `limit` bytes of it."""
        text = bytearray()
        while len(text) < limit:
            byte = self.forced_byte(configuration)
            if byte is None:
                break
            target = self.step(configuration, byte)
            assert target is not None, "a forced byte is legal"
            text.append(byte)
            configuration = target
        return ForcedRun(bytes(text), configuration)

    def accepts(self, data: bytes) -> bool:
        """Whether `data` is a complete text of the grammar."""
        end = self.run(self.start, data)
        return end is not None and end.accepting

    def accepts_prefix(self, data: bytes) -> bool:
        """Whether some continuation of `data`, possibly empty, is a complete text."""
        return self.run(self.start, data) is not None

    def _push(self, parent: Frame | None, after: int, low: int, high: int | None) -> Frame:
        key = (parent, after, low, high)
        frame = self._frames.get(key)
        if frame is None:
            frame = self._frames.setdefault(key, Frame(parent, after, low, high))
        return frame

    def _close(self, places: Sequence[Place]) -> Configuration | None:
        """The configuration of everything reachable from `places` without consuming a byte."""
        network, loops = self._network, self._loops
        pending = list(places)
        seen = set(pending)
        consuming: list[Place] = []
        accepting = False
        while pending:
            state, stack = pending.pop()
            if network.edges[state]:
                consuming.append((state, stack))
            found: list[Place] = [(target, stack) for target in network.epsilon[state]]
            for entry, after in network.calls[state]:
                found.append((entry, self._push(stack, after, 0, None)))
            for index in network.entered[state]:
                loop = loops[index]
                frame = self._push(stack, -1 - index, loop.min, loop.max)
                found.append((loop.body, frame))
            if state == RETURN:
                if stack is None:
                    accepting = True
                elif stack.after >= 0:
                    found.append((stack.after, stack.parent))
                else:
                    found += self._iterate(stack)
            for place in found:
                if place not in seen:
                    seen.add(place)
                    pending.append(place)
            if len(seen) > MAX_PLACES:
                raise GrammarError(
                    f"the text so far can be read in more than {MAX_PLACES} ways at once; the "
                    "grammar is left-recursive or too ambiguous. Rewrite nested or adjacent "
                    "repetitions that can match the same text"
                )
        if not consuming and not accepting:
            return None
        return self._intern(frozenset(consuming), accepting)

    def _iterate(self, frame: Frame) -> list[Place]:
        """Where a counted repetition goes when an iteration has ended: on, out, or both."""
        loop = self._loops[-1 - frame.after]
        low = frame.low if frame.low == _MANY else max(frame.low - 1, 0)
        high = None if frame.high is None else frame.high - 1
        found: list[Place] = []
        if low == 0:
            found.append((loop.after, frame.parent))
        if high != 0:
            found.append((loop.body, self._push(frame.parent, frame.after, low, high)))
        return found

    def _intern(self, places: frozenset[Place], accepting: bool) -> Configuration:
        places = self._without_dominated(places)
        key = (places, accepting)
        configuration = self._configurations.get(key)
        if configuration is None:
            if len(self._configurations) >= MAX_CONFIGURATIONS:
                self._configurations.clear()
                self._frames.clear()
                self.start.memo.clear()
            configuration = self._configurations.setdefault(key, Configuration(places, accepting))
        return configuration

    def _without_dominated(self, places: frozenset[Place]) -> frozenset[Place]:
        """Drops a place that another one covers: same state, same loop, no fewer iterations left.

        Without this an ambiguous body such as `(a|aa){0,1000}` would keep every possible count.
        """
        if len(places) < 3:
            return places
        most: dict[tuple[int, int, Frame | None], int | None] = {}
        counted: list[tuple[Place, tuple[int, int, Frame | None], int | None]] = []
        kept: list[Place] = []
        for place in places:
            state, frame = place
            # low <= 1: this iteration is the last that must run, so only `high` tells places apart
            if frame is None or frame.after >= 0 or frame.low > 1:
                kept.append(place)
                continue
            key = (state, frame.after, frame.parent)
            counted.append((place, key, frame.high))
            if key not in most:
                most[key] = frame.high
            else:
                best = most[key]
                if best is not None and (frame.high is None or frame.high > best):
                    most[key] = frame.high
        kept += [place for place, key, high in counted if most[key] == high]
        return frozenset(kept) if len(kept) < len(places) else places
