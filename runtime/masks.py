"""Which tokens a constraint allows next: a walk of the vocabulary's trie beside the automaton.

Places inside terminals, where most tokens are legal, are answered from the walks that all grammars
share (`terminal_walks.py`), and only what leaves the terminal is walked on, along this grammar.
Between terminals few bytes are legal, and the walk is plain Python along the trie. A grammar with
wide choices outside terminals is walked level by level instead (`level_walk.py`).

Masks are memoised by configuration, with counts beyond the longest token merged, so positions in a
long list share one mask. Values that must be distinct are left out of all this: the few tokens that
could repeat a value are tried one by one (`distinct_tokens.py`).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ..lang.automaton import Automaton
from ..lang.configuration import Configuration
from ..lang.counted_terminal import CountedState
from ..lang.errors import GrammarError
from ..lang.excluded_texts import ExceptState
from ..lang.frames import Frame
from ..lang.passages import SubstringState
from ..lang.regular_terminal import RegularState
from ..lang.terminal_state import TerminalState
from ..lang.word_list import WordState
from .base import BoolMask
from .byte_trie import ByteTrie
from .distinct_tokens import DistinctTokens
from .level_walk import walk
from .row_table import RowTable
from .terminal_walks import ANY, Window
from .token_trie import TokenTrie

MEMO_BYTES = 16 << 20
"""Masks kept per constraint, least recently used out first."""

MAX_ROWS = 8192
"""Rows of next configurations (1 KiB each) kept between two walks."""

MAX_VISITS = 400
"""Trie nodes walked one by one before the walk goes on level by level."""

MAX_REPEATED = 4096
"""Entries that are handed on without looking for those found twice."""

MAX_DEPTH = 4
"""Terminals that one token may run through before the walk goes on level by level: where several
could follow each other in many ways, the ways are too many to follow one by one."""

Entries: TypeAlias = NDArray[np.int64]
Part: TypeAlias = "NDArray[np.int64] | NDArray[np.bool_]"
"""Entries of a trie: their numbers, or of a whole vocabulary bool[n_vocab]."""


_NONE: Entries = np.zeros(0, dtype=np.int64)


class _TooWide(Exception):
    """More than MAX_VISITS nodes."""


@dataclass(frozen=True, slots=True)
class MaskStats:
    """Counts since the table was made: masks computed and masks found in the memo."""

    computed: int
    reused: int


class MaskTable:
    """Masks of one constraint over one vocabulary. Not thread-safe: one engine thread owns it."""

    def __init__(
        self,
        automaton: Automaton,
        trie: TokenTrie,
        eog: frozenset[int],
        memo_bytes: int = MEMO_BYTES,
    ) -> None:
        self._trie = trie
        self._eog = np.array(sorted(eog), dtype=np.int64)
        self._local = automaton.within(trie.longest_token_bytes)
        self._is_shared = self._local is automaton
        self._distinct = DistinctTokens(automaton, trie)
        self._adopted: WeakKeyDictionary[Configuration, Configuration] = WeakKeyDictionary()
        self._table = RowTable(self._local)
        self._memo: OrderedDict[tuple[Configuration, bytes, tuple[int, ...]], BoolMask] = (
            OrderedDict()
        )
        self._memo_limit = max(1, memo_bytes // max(1, trie.n_vocab))
        self._computed = self._reused = 0
        self._depth = 0
        self._known: dict[tuple[ByteTrie, int, Configuration], Part] = {}

    def stats(self) -> MaskStats:
        return MaskStats(self._computed, self._reused)

    def mask(
        self, configuration: Configuration, prefix: bytes = b"", also: tuple[int, ...] = ()
    ) -> BoolMask:
        """Legal next tokens, bool[n_vocab], read-only and shared.

        `configuration` is where the text stands after `prefix`, bytes that are part of the text
        and that no token spells yet: a legal token spells all of them, and then what the
        configuration allows. `also` are further tokens to allow. End-of-generation tokens are
        legal if the configuration accepts and nothing is pending.

        Raises GrammarError if no token at all is legal.
        """
        key = (configuration, prefix, also)
        mask = self._memo.get(key)
        if mask is None:
            key = (self._adopt(configuration), prefix, also)
            if not configuration.watched:
                mask = self._memo.get(key)
        if mask is not None:
            self._memo.move_to_end(key)
            self._reused += 1
            return mask
        self._computed += 1
        mask = self._compute(configuration, prefix, also)
        mask.flags.writeable = False
        self._memo[(configuration, *key[1:]) if configuration.watched else key] = mask
        if len(self._memo) > self._memo_limit:
            self._memo.popitem(last=False)
        return mask

    def _adopt(self, configuration: Configuration) -> Configuration:
        local = self._adopted.get(configuration)
        if local is None:
            local = configuration if self._is_shared else self._local.adopt(configuration)
            local = self._local.settled(local, self._trie.longest_token_bytes)
            self._adopted[configuration] = local
        return local

    def _compute(
        self, configuration: Configuration, prefix: bytes, also: tuple[int, ...]
    ) -> BoolMask:
        mask = np.zeros(self._trie.n_vocab, dtype=bool)
        node = self._trie.find(prefix)
        if node is not None:
            self._known.clear()
            part = self._legal(self._trie, node, self._adopt(configuration))
            if part.dtype == bool:
                mask |= part
            else:
                mask[part] = True
            if configuration.watched:
                self._distinct.strike_out(mask, configuration, prefix)
        if also:
            mask[list(also)] = True
        if configuration.accepting and not prefix:
            mask[self._eog] = True
        if not mask.any():
            raise GrammarError(
                f"no token of this vocabulary continues the text (pending: {prefix!r}; legal next "
                f"bytes: {self._local.next_bytes(self._adopt(configuration))!r}); use a grammar or "
                "a model whose tokens meet"
            )
        return mask

    def _legal(self, trie: ByteTrie, node: int, configuration: Configuration) -> Part:
        """The entries at and below `node` whose further bytes `configuration` allows.

        Remembered while one mask is computed: where terminals follow each other there are many ways
        to the same place.
        """
        key = (trie, node, configuration)
        known = self._known.get(key)
        if known is None:
            self._depth += 1
            try:
                if self._depth > MAX_DEPTH:
                    raise _TooWide
                known = self._union(self._step_by_step(trie, node, configuration))
            except _TooWide:
                if len(self._table) > MAX_ROWS:
                    self._table.clear()
                reached = walk(trie, node, self._table.number(configuration), self._table)
                below = trie.entries_at(reached.nodes)
                known = np.concatenate([trie.entries_of(node), below])
            finally:
                self._depth -= 1
            self._known[key] = known
        return known

    def _union(self, parts: list[Part]) -> Part:
        """All of the parts, as numbers; as bool[n_vocab] if any of them is."""
        if all(part.dtype != bool for part in parts):
            if len(parts) < 2:
                return parts[0] if parts else _NONE
            listed: Entries = np.concatenate(parts).astype(np.int64, copy=False)
            return np.unique(listed) if len(listed) > MAX_REPEATED else listed
        mask = np.zeros(self._trie.n_vocab, dtype=bool)
        for part in parts:
            if part.dtype == bool:
                mask |= part
            else:
                mask[part] = True
        return mask

    def _step_by_step(self, trie: ByteTrie, node: int, configuration: Configuration) -> list[Part]:
        automaton, branch = self._local, trie.branch
        listed = list(branch(node).entries)
        parts: list[Part] = []
        pending = [(node, configuration)]
        visits = 0
        while pending:
            node, configuration = pending.pop()
            inside, outside = automaton.parts(configuration)
            for state, frame in inside:
                parts += self._in_terminal(trie, node, state, frame)
            if outside is None:
                continue
            if literal := automaton.literal(outside):
                for byte in literal:
                    child = branch(node).children.get(byte)
                    if child is None:
                        break
                    node = child
                    listed += branch(node).entries
                else:
                    if branch(node).children:
                        following = automaton.run(outside, literal)
                        assert following is not None, "a literal can be written"
                        pending.append((node, following))
                continue
            children = branch(node).children
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
        if listed:
            parts.append(np.array(listed, dtype=np.int64))
        return parts

    def _in_terminal(
        self, trie: ByteTrie, node: int, state: TerminalState, frame: Frame
    ) -> list[Part]:
        """The entries below `node` that go on inside a terminal, or leave it."""
        automaton, walks = self._local, self._trie.walks
        struck: Entries | None = None
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
        elif isinstance(state, SubstringState):
            return self._in_passage(trie, node, state, frame)
        else:
            assert isinstance(state, WordState)
            return self._in_words(trie, node, state, frame)
        parts = [known.part(window, self._trie.n_vocab if trie is self._trie else None)]
        after = automaton.after(frame)
        for byte in b"" if after is None else automaton.next_bytes(after):
            exits = known.exits(byte)
            following = None if exits is None or after is None else automaton.step(after, byte)
            if exits is not None and following is not None:
                rests = self._legal(exits.rests, 0, following)
                parts.append(exits.pick(rests, window))
        return parts if struck is None else [_without(part, struck) for part in parts]

    def _struck(self, trie: ByteTrie, node: int, state: ExceptState) -> Entries:
        """The entries below `node` that spell an excluded text to its end."""
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

    def _in_passage(
        self, trie: ByteTrie, node: int, state: SubstringState, frame: Frame
    ) -> list[Part]:
        """The entries below `node` that go on along a passage of a text, or leave it."""
        machine = state.machine
        found: list[Part] = []
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
                    found.append(trie.entries_of(here))
                if end in machine.stops:
                    stops.add(here)
        after = self._local.after(frame)
        if after is not None:
            found += [self._legal(trie, here, after) for here in stops]
        return found

    def _in_words(self, trie: ByteTrie, node: int, state: WordState, frame: Frame) -> list[Part]:
        """The entries below `node` that go on along one of many texts, or leave it."""
        found: list[Part] = []
        after = self._local.after(frame)
        pending = [(node, state)]
        while pending:
            here, at = pending.pop()
            for byte, child in trie.children(here).items():
                following = at.step(byte)
                if not isinstance(following, WordState):
                    continue
                found.append(trie.entries_of(child))
                if following.accepting and after is not None:
                    found.append(self._legal(trie, child, after))
                if not following.is_final:
                    pending.append((child, following))
        return found


def _without(part: Part, struck: Entries) -> Part:
    if part.dtype == bool:
        left = part.copy()
        left[struck] = False
        return left
    return part[~np.isin(part, struck)]
