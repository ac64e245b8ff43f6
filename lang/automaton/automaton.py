"""A grammar as a lazily determinised pushdown automaton over bytes.

A `Configuration` is every place in the grammar that the text so far can have led to: a set of
(state, stack) pairs, closed under moves that consume nothing. A state is one of the network's
(`network.py`) or, inside a terminal, one of the terminal's own (`terminals.py`). Equal
configurations are one object, and each remembers where its bytes lead, so a second walk over the
same ground is dict look-ups. Stacks are shared as a graph (`frames.py`), so alternatives do not
multiply with depth; what repetitions count and lists and objects remember are values in its frames
(`scopes.py`), so bounds cost nothing until they are near.

Configurations are immutable values apart from their memo, which only ever gains entries that any
thread would compute alike: an automaton may be used from several threads. They are objects, not
numbers, so that dropping the memo (at `MAX_CONFIGURATIONS`) never invalidates one that a running
generation still holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from ..errors import GrammarError
from ..ir.alphabet import ALL_BYTES
from ..ir.nodes import Rules
from .byte_classes import byte_classes
from .closure import Closed, Closure
from .configuration import Configuration, ForcedRun, Parts, Place, Steady, Successors
from .configuration_table import ConfigurationTable
from .counted_terminal import CountedState
from .frames import (
    Frame,
    FrameTable,
    Stack,
    begun_earlier,
    first_begun,
    holders,
    kept_in,
)
from .kept_values import Kept, is_next
from .legal_bytes import LegalBytes
from .lowering import lower
from .measured_terminal import MeasuredState
from .network import Network
from .stack_moves import StackMoves
from .terminal_state import TerminalState
from .text_runs import TextRuns
from .value_search import Budget
from .value_watch import ValueInWriting, ValueWatch

MAX_MEMO = 4096
"""Longer texts than a byte that one configuration remembers the end of."""

CHUNK = 64
"""Bytes of a whole text that are run at once."""

FORCED_LIMIT = 4096
"""Longest forced run that is reported at once, in bytes."""


class Automaton:
    """Runs one grammar. Every configuration it hands out can be completed to an accepted text.

    `alphabet`: bytes that can be written at all; texts with others are not in the language.
    `controls`: a model's control tokens, id -> text; without them they stand for their texts.
    `keeps_values`: whether values that must be distinct are kept; without them they need not be.
    `horizon`: the automaton is only asked about the next `horizon` bytes; counts beyond it are
    merged, which makes positions in a long counted run equal (see `adopt`).
    `budget`: of the search that this automaton is run for, which looks ahead for values; None: it
    is run for itself.

    Raises GrammarError if it is plain before the first byte that the grammar has no text, and while
    it runs, if one text can be read in more than MAX_PLACES ways at once.
    """

    def __init__(
        self,
        rules: Rules | Network,
        *,
        alphabet: frozenset[int] = ALL_BYTES,
        controls: Mapping[int, str] | None = None,
        keeps_values: bool = True,
        horizon: int | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._network = rules if isinstance(rules, Network) else lower(rules, alphabet, controls)
        self._frames = FrameTable()
        self._watch = ValueWatch(self, self._network, budget)
        self._moves = StackMoves(
            self._network, self._frames, horizon=horizon, keeps_values=keeps_values
        )
        self._table = ConfigurationTable(self._network.scopes, self._frames)
        self._legal = LegalBytes(self._network, self._moves, self.step)
        self._text_runs = TextRuns(self._network, self._table, self._watch, self.step, self._close)
        watch = self._watch if keeps_values else None
        self._closure = Closure(self._network, self._frames, self._moves, watch)
        start = self._close([(self._network.start, None)])
        if start is None:
            raise GrammarError("no text satisfies this grammar: not all its values can differ")
        self.start = self._table.start = start

    def within(self, horizon: int) -> Automaton:
        """This grammar, exact for the next `horizon` bytes after any configuration it adopts.

        Exact but for values that must be distinct: here they need not be. The same automaton where
        that makes no difference.
        """
        if self._network.largest_count <= horizon and not self._network.has_distinct:
            return self
        return Automaton(self._network, keeps_values=False, horizon=horizon)

    def settled(self, configuration: Configuration, horizon: int) -> Configuration:
        """The configuration that goes on like this one for `horizon` bytes, as one for many.

        Counts inside terminals that are further than that from their bounds are made equal.
        """
        if not any(isinstance(s, CountedState | MeasuredState) for s, _ in configuration.places):
            return configuration
        places = frozenset(
            (s.settled(horizon) if isinstance(s, CountedState | MeasuredState) else s, stack)
            for s, stack in configuration.places
        )
        return self._table.intern(places, configuration.accepting)

    def careless(self) -> Automaton:
        """This grammar where values need not be distinct."""
        return Automaton(self._network, keeps_values=False)

    def searching(self, budget: Budget) -> Automaton:
        """This grammar for a search, which is over when its budget is spent."""
        return Automaton(self._network, budget=budget)

    def started_at(self, state: int) -> Configuration | None:
        """The configuration as if the grammar began at a state of its network."""
        return self._close([(state, None)])

    def in_value(self, place: Place, value: Kept, without: Iterable[Frame] = ()) -> Configuration:
        """A place of another automaton of this grammar, as if its stack began above a value.

        That is the one at the top of `value`; `without` are frames that hold it and are left out.
        See `having_written` for the values above it.
        """
        known: dict[Stack, Stack] = dict.fromkeys(holders(place[1], value))
        first = first_begun(place[1], value) or 0
        content = partial(begun_earlier, by=first)
        stack = self._frames.rebuilt(place[1], known, content, without)
        return self._table.intern(frozenset(((place[0], stack),)), False)

    def having_written(self, core: Configuration, text: bytes) -> Configuration:
        """The configuration of a core, with the text since the first value in writing began."""
        return self._table.with_text(core, text)

    def adopt(self, configuration: Configuration) -> Configuration:
        """The configuration here that agrees with another automaton's of the same grammar.

        Up to the horizon both allow the same bytes and accept alike: an iteration consumes at
        least one byte, so a count above the horizon cannot run out within it.
        """
        known: dict[Stack, Stack] = {}
        places = [
            (state, self._frames.rebuilt(stack, known, self._moves.adopted))
            for state, stack in configuration.places
        ]
        return self._table.intern(frozenset(places), configuration.accepting)

    def step(self, configuration: Configuration, byte: int) -> Configuration | None:
        """The configuration after one more byte, or None if that byte is not legal."""
        try:
            return configuration.memo[byte]
        except KeyError:
            steady = configuration.core.steady
            if byte in steady:
                written = configuration.written + bytes((byte,))
                core, doubts = steady[byte]
                if not doubts or self._watch.dispels(doubts, written):
                    target = None if core is None else self._table.with_text(core, written)
                    configuration.memo[byte] = target
                    return target
            edges = self._network.edges
            places: list[Place] = []
            for state, stack in configuration.places:
                if isinstance(state, TerminalState):
                    following = state.step(byte)
                    if following is not None:
                        places.append((following, stack))
                else:
                    places += [
                        (target, stack)
                        for first, last, target in edges[state]
                        if first <= byte <= last
                    ]
            if configuration.watched:
                written = configuration.written + bytes((byte,))
                begun = self._begun(places, len(configuration.written))
                closed = self._closure.of(begun or places, written)
                target = self._of(closed, written)
                if closed.doubts is not None and begun is None:
                    steady[byte] = Steady(None if target is None else target.core, closed.doubts)
            elif len(places) == 1 and self._is_inside_literal(places[0][0]):
                target = self._table.intern(frozenset(places), False)
            else:
                target = self._close(places)
            configuration.memo[byte] = target
            return target

    def _is_inside_literal(self, state: int | TerminalState) -> bool:
        """Whether nothing can be reached from a state without consuming a byte, guards included."""
        network = self._network
        return state in network.runs and state not in network.guards

    def _begun(self, places: list[Place], at: int) -> list[Place] | None:
        """The places once the values that their last byte began have begun `at`; None: no value."""
        if not any(is_next(kept_in(stack)) for _, stack in places):
            return None
        return [
            (state, stack if stack is None else self._frames.begun(stack, at))
            for state, stack in places
        ]

    def run(self, configuration: Configuration, data: bytes) -> Configuration | None:
        """The configuration after `data`, or None if it is not legal."""
        texts = configuration.texts
        if data in texts:
            return texts[data]
        end = self._text_runs.end(configuration, data)
        if len(texts) < MAX_MEMO:
            texts[data] = end
        return end

    def successors(self, configuration: Configuration) -> Successors:
        """Where all 256 bytes lead, computed once per class of bytes that behave alike."""
        classes, reached = byte_classes(configuration.places, self._network.edges)
        return Successors(classes, [self._close(places) for places in reached])

    def next_bytes(self, configuration: Configuration) -> bytes:
        """The legal next bytes, in ascending order."""
        return self._legal.after(configuration)

    def forced_byte(self, configuration: Configuration) -> int | None:
        """The byte that must come next, or None if there is a choice (stopping is one)."""
        return self._legal.forced(configuration)

    def forced_run(self, configuration: Configuration, limit: int = FORCED_LIMIT) -> ForcedRun:
        """The text that must come next whatever is chosen later; at most `limit` bytes of it."""
        text = bytearray()
        runs = self._network.runs
        while len(text) < limit:
            if configuration.lone is not None and not configuration.accepting:
                state, stack = configuration.lone
                if not isinstance(state, TerminalState) and state in runs:
                    data, begin, after = runs[state]
                    end = self._close([(after, stack)])
                    assert end is not None, "a literal can be written"
                    text += data[begin:]
                    configuration = end
                    continue
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
        end = self._end_of(data)
        return end is not None and end.accepting

    def accepts_prefix(self, data: bytes) -> bool:
        """Whether some continuation of `data`, possibly empty, is a complete text."""
        return self._end_of(data) is not None

    def _end_of(self, data: bytes) -> Configuration | None:
        current: Configuration | None = self.start
        for at in range(0, len(data), CHUNK):
            if current is None:
                return None
            current = self.run(current, data[at : at + CHUNK])
        return current

    def after(self, frame: Frame) -> Configuration | None:
        """The configuration once the terminal above `frame` has ended; None if nothing follows.

        Nothing follows where the value that ended there must differ from one that it repeats.
        """
        try:
            return self._table.after[frame]
        except KeyError:
            following = self._table.after[frame] = self._close(
                [(frame.after, parent) for parent in frame.parents]
            )
            return following

    def parts(self, configuration: Configuration) -> Parts:
        """The configuration's places inside terminals, and all others as one of their own."""
        if configuration.parts is None:
            inside: list[tuple[TerminalState, Frame]] = []
            outside: list[Place] = []
            for state, stack in configuration.places:
                if isinstance(state, TerminalState):
                    assert stack is not None, "a terminal returns somewhere"
                    inside.append((state, stack))
                else:
                    outside.append((state, stack))
            rest = None
            if outside and not inside and not configuration.accepting:
                rest = configuration
            elif outside:
                rest = self._table.intern(frozenset(outside), False)
            configuration.parts = Parts(inside, rest)
        return configuration.parts

    def literal(self, configuration: Configuration) -> bytes:
        """The text that must come next, as far as one literal of the grammar goes; or b""."""
        if configuration.lone is None:
            return b""
        state = configuration.lone[0]
        run = None if isinstance(state, TerminalState) else self._network.runs.get(state)
        return b"" if run is None else run.data[run.at :]

    @property
    def has_distinct(self) -> bool:
        """Whether values must differ somewhere."""
        return self._network.has_distinct

    def has_endless_values(self) -> bool:
        """Whether it is sure that values are left that differ, whatever has been seen."""
        return self._watch.is_any_left()

    def depends_on_values(self, configuration: Configuration) -> bool:
        """Whether what can follow depends on values that must differ, not on the places alone."""
        return self._watch.depends_on_values(configuration)

    def values_in_writing(self, configuration: Configuration) -> set[ValueInWriting]:
        """The values in writing that must differ from others."""
        return self._watch.in_writing(configuration)

    def _close(self, places: Sequence[Place]) -> Configuration | None:
        """The configuration of everything reachable from `places` without consuming a byte."""
        return self._of(self._closure.of(places, b""), b"")

    def _of(self, closed: Closed, written: bytes) -> Configuration | None:
        """The configuration of what was reached, after `written`; None if nothing was."""
        if not closed.places and not closed.accepting:
            return None
        core = self._table.intern(frozenset(closed.places), closed.accepting)
        return self._table.with_text(core, written)
