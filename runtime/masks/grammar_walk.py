"""A walk of a token trie along a grammar: which tokens can come next.

Places inside terminals, where most tokens are legal, are answered from the walks that all grammars
share (`terminal_walks.py`), and only what leaves the terminal is walked on, along this grammar.
Between terminals few bytes are legal, and the walk is plain Python along the trie. A grammar with
wide choices outside terminals is walked level by level instead (`level_walk.py`).
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypeIs

from ...lang.automaton.automaton import Automaton
from ...lang.automaton.configuration import Configuration
from ...lang.automaton.counted_terminal import CountedState
from ...lang.automaton.excluded_texts import ExceptState
from ...lang.automaton.frames import Frame
from ...lang.automaton.measured_terminal import MeasuredState
from ...lang.automaton.passages import SubstringState
from ...lang.automaton.regular_terminal import RegularState
from ...lang.automaton.terminal_state import TerminalState
from ...lang.automaton.word_list import WordState
from .byte_trie import ByteTrie
from .level_walk import walk
from .row_table import RowTable
from .terminal_walk import ANY, Window
from .token_trie import TokenTrie

MAX_ROWS = 8192
"""Rows of next configurations (1 KiB each) kept between two walks."""

MAX_VISITS = 400
"""Trie nodes walked one by one before the walk goes on level by level."""

MAX_REPEATED = 4096
"""Entries that are handed on without looking for those found twice."""

FEW = 64
"""Entries that are handed on as plain numbers, which costs less than an array of them."""

MAX_STRUCK = 1024
"""Sets of excluded entries that are remembered."""

MAX_DEPTH = 4
"""Terminals that one token may run through before the walk goes on level by level: where several
could follow each other in many ways, the ways are too many to follow one by one."""

Entries: TypeAlias = NDArray[np.int64]
Part: TypeAlias = "NDArray[np.int64] | NDArray[np.bool_]"
"""Entries of a trie: their numbers, or of a whole vocabulary bool[n_vocab]."""


def is_mask(part: Part) -> TypeIs[NDArray[np.bool_]]:
    """Whether entries are given as bool[n_vocab]."""
    return part.dtype == np.bool_


class _TooWide(Exception):
    """More than MAX_VISITS nodes or MAX_DEPTH terminals."""


class Found(NamedTuple):
    """Entries of a trie, in no order and perhaps twice: one by one, and by the many."""

    listed: list[int]
    parts: list[Part]

    def add(self, part: Part) -> None:
        """Adds entries that are kept elsewhere."""
        if is_mask(part) or len(part) > FEW:
            self.parts.append(part)
        else:
            self.listed.extend(part.tolist())


class _Struck(NamedTuple):
    """Entries that spell an excluded text."""

    entries: Entries
    numbers: frozenset[int]

    def left_of(self, found: Found) -> Found:
        """What was found without them."""
        if not self.numbers:
            return found
        listed = [entry for entry in found.listed if entry not in self.numbers]
        return Found(listed, [_without(part, self.entries) for part in found.parts])


class GrammarWalk:
    """Walks one vocabulary along one automaton, which is asked about no more than a token."""

    def __init__(self, automaton: Automaton, trie: TokenTrie) -> None:
        self._automaton = automaton
        self._trie = trie
        self._table = RowTable(automaton)
        self._depth = 0
        self._known: dict[tuple[ByteTrie, int, Configuration], list[int] | Entries] = {}
        self._excluded: dict[tuple[ByteTrie, int, ExceptState], _Struck] = {}

    def tokens(self, node: int, configuration: Configuration) -> Found:
        """The tokens at and below `node` whose further bytes `configuration` allows."""
        self._known.clear()
        self._depth = 0
        try:
            return self._step_by_step(self._trie, node, configuration)
        except _TooWide:
            return Found([], [self._by_levels(self._trie, node, configuration)])

    def _by_levels(self, trie: ByteTrie, node: int, configuration: Configuration) -> Entries:
        if len(self._table) > MAX_ROWS:
            self._table.clear()
        reached = walk(trie, node, self._table.number(configuration), self._table)
        return np.concatenate([trie.entries_of(node), trie.entries_at(reached.nodes)])

    def _below(
        self, trie: ByteTrie, node: int, configuration: Configuration
    ) -> list[int] | Entries:
        """The entries at and below a node that was reached through a terminal.

        A list if no terminal has many of them. Remembered while one mask is computed: where
        terminals follow each other there are many ways to the same place.
        """
        key = (trie, node, configuration)
        known = self._known.get(key)
        if known is None:
            self._depth += 1
            try:
                if self._depth > MAX_DEPTH:
                    raise _TooWide
                known = self._joined(self._step_by_step(trie, node, configuration))
            except _TooWide:
                known = self._by_levels(trie, node, configuration)
            finally:
                self._depth -= 1
            self._known[key] = known
        return known

    def _add_below(
        self, found: Found, trie: ByteTrie, node: int, configuration: Configuration
    ) -> None:
        below = self._below(trie, node, configuration)
        if isinstance(below, list):
            found.listed.extend(below)
        else:
            found.parts.append(below)

    def _joined(self, found: Found) -> list[int] | Entries:
        if not found.parts and len(found.listed) <= MAX_REPEATED:
            return found.listed
        parts = [np.array(found.listed, dtype=np.int64)]
        parts += [np.flatnonzero(part) if is_mask(part) else part for part in found.parts]
        joined: Entries = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return np.unique(joined) if len(joined) > MAX_REPEATED else joined

    def _step_by_step(self, trie: ByteTrie, node: int, configuration: Configuration) -> Found:
        automaton, branch = self._automaton, trie.branch
        found = Found(list(branch(node).entries), [])
        listed = found.listed
        pending = [(node, configuration)]
        visits = 0
        while pending:
            node, configuration = pending.pop()
            inside, outside = automaton.parts(configuration)
            for state, frame in inside:
                inner = self._in_terminal(trie, node, state, frame)
                listed += inner.listed
                found.parts.extend(inner.parts)
            if outside is None:
                continue
            entries, children = branch(node)
            if literal := automaton.literal(outside):
                for byte in literal:
                    child = children.get(byte)
                    if child is None:
                        break
                    node = child
                    entries, children = branch(node)
                    listed += entries
                else:
                    if children:
                        following = automaton.run(outside, literal)
                        assert following is not None, "a literal can be written"
                        pending.append((node, following))
                continue
            legal = automaton.next_bytes(outside)
            for byte in legal if len(legal) < len(children) else children:
                child = children.get(byte)
                following = None if child is None else automaton.step(outside, byte)
                if child is not None and following is not None:
                    entries, below = branch(child)
                    listed += entries
                    if below:
                        pending.append((child, following))
                    visits += 1
            if visits > MAX_VISITS:
                raise _TooWide
        return found

    def _in_terminal(self, trie: ByteTrie, node: int, state: TerminalState, frame: Frame) -> Found:
        """The entries below `node` that go on inside a terminal, or leave it."""
        automaton, walks = self._automaton, self._trie.walks
        struck: _Struck | None = None
        if isinstance(state, ExceptState):
            struck = self._struck(trie, node, state)
            state = state.base
        window = ANY
        if isinstance(state, RegularState):
            known = walks.walk(trie, node, state)
        elif isinstance(state, CountedState):
            known = walks.counted(trie, node, state)
            machine = state.machine
            high = None if machine.high is None else machine.high - state.count
            window = Window(max(machine.low - state.count, 0), high)
        elif isinstance(state, MeasuredState):
            known = walks.measured(trie, node, state)
            bounds = state.machine.node
            high = None if bounds.max is None else bounds.max - state.count
            window = Window(max(bounds.min - state.count, 0), high)
        elif isinstance(state, SubstringState):
            return self._in_passage(trie, node, state, frame)
        else:
            assert isinstance(state, WordState)
            words = self._in_words(trie, node, state, frame)
            return words if struck is None else struck.left_of(words)
        found = Found([], [])
        found.add(known.part(window, self._trie.n_vocab if trie is self._trie else None))
        after = automaton.after(frame)
        for byte in b"" if after is None else automaton.next_bytes(after):
            exits = known.exits(byte)
            following = None if exits is None or after is None else automaton.step(after, byte)
            if exits is not None and following is not None:
                rests = self._below(exits.rests, 0, following)
                if isinstance(rests, list):
                    found.listed.extend(exits.pick_few(rests, window))
                else:
                    found.parts.append(exits.pick(rests, window))
        return found if struck is None else struck.left_of(found)

    def _struck(self, trie: ByteTrie, node: int, state: ExceptState) -> _Struck:
        """The entries below `node` that spell an excluded text to its end; remembered."""
        key = (trie, node, state)
        known = self._excluded.get(key)
        if known is None:
            if len(self._excluded) >= MAX_STRUCK:
                self._excluded.clear()
            entries = self._strike(trie, node, state)
            known = self._excluded[key] = _Struck(entries, frozenset(entries.tolist()))
        return known

    def _strike(self, trie: ByteTrie, node: int, state: ExceptState) -> Entries:
        machine = state.machine
        if not machine.ends_are_final:
            raise _TooWide
        struck: list[Entries] = [np.zeros(0, dtype=np.int64)]
        pending = [(state.node, node)]
        while pending:
            excluded, here = pending.pop()
            children = trie.children(here)
            for byte, deeper in machine.children[excluded].items():
                child = children.get(byte)
                if child is None:
                    continue
                if machine.ends[deeper]:
                    struck.append(trie.entries_below(child))
                pending.append((deeper, child))
        return np.concatenate(struck)

    def _in_passage(self, trie: ByteTrie, node: int, state: SubstringState, frame: Frame) -> Found:
        """The entries below `node` that go on along a passage of a text, or leave it."""
        machine = state.machine
        found = Found([], [])
        stops: set[int] = set()
        known: set[int] = set()
        for end in state.ends:
            here = node
            while machine.can_pass(end):
                child = trie.children(here).get(machine.data[end])
                if child is None:
                    break
                here, end = child, end + 1
                if here not in known:
                    known.add(here)
                    found.listed.extend(trie.branch(here).entries)
                if end in machine.stops:
                    stops.add(here)
        after = self._automaton.after(frame)
        if after is not None:
            for here in stops:
                self._add_below(found, trie, here, after)
        return found

    def _in_words(self, trie: ByteTrie, node: int, state: WordState, frame: Frame) -> Found:
        """The entries below `node` that go on along one of many texts, or leave it."""
        found = Found([], [])
        after = self._automaton.after(frame)
        pending = [(node, state)]
        while pending:
            here, at = pending.pop()
            for byte, child in trie.children(here).items():
                following = at.step(byte)
                if not isinstance(following, WordState):
                    continue
                found.listed.extend(trie.branch(child).entries)
                if following.accepting and after is not None:
                    self._add_below(found, trie, child, after)
                if not following.is_final:
                    pending.append((child, following))
        return found


def _without(part: Part, struck: Entries) -> Part:
    if is_mask(part):
        left = part.copy()
        left[struck] = False
        return left
    return part[~np.isin(part, struck)]
