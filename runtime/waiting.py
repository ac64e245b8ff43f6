"""Requests that wait, in the order in which the radix tree would like to see them.

Sorted by their tokens, requests come in the depth-first order of the trie that they form, which
evaluates each shared prefix once with room for only the longest request (SGLang, arXiv:2312.07104,
theorem 3.1). The scan goes on from whom it admitted last and starts over at the end. So that nobody
starves, a request goes first once too many others were admitted before it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush

from .request import EngineRequest


@dataclass(slots=True, eq=False)
class _Ticket:
    request: EngineRequest
    key: bytes
    key_start: int  # where the tokens begin, 4 bytes each
    serial: int
    deadline: int  # in admissions

    def __lt__(self, other: _Ticket) -> bool:
        return (self.key, self.serial) < (other.key, other.serial)


@dataclass(slots=True)
class _Level:
    """The waiting requests of one priority, sorted.

    Attributes:
        after: the key that the next scan goes on from.
        held: the key of the first that was passed over in this scan: its turn comes next.
    """

    tickets: list[_Ticket] = field(default_factory=list)
    after: bytes = b""
    held: bytes | None = None


class WaitingQueue:
    """Waiting requests by priority, then depth-first. Not thread-safe.

    PATIENCE: a request is overdue after this many admissions, plus twice as many as waited when it
    came; those that are overdue go first, the longest overdue before the others.
    """

    PATIENCE = 64

    def __init__(self) -> None:
        self._levels: dict[int, _Level] = {}
        self._tickets: dict[EngineRequest, _Ticket] = {}  # oldest first
        self._deadlines: list[tuple[int, int, _Ticket]] = []  # a heap; some have left already
        self._returned: deque[EngineRequest] = deque()
        self._round: deque[EngineRequest] = deque()  # some have left already
        self._serial = self._admissions = 0

    def __len__(self) -> int:
        return len(self._tickets) + len(self._returned)

    def __iter__(self) -> Iterator[EngineRequest]:
        """All of them, those that ran before first, then oldest first."""
        yield from list(self._returned)
        yield from list(self._tickets)

    def add(self, request: EngineRequest) -> None:
        """Queues a new request."""
        self._serial += 1
        deadline = self._admissions + 2 * len(self._tickets) + self.PATIENCE
        # what is scored behind a prompt keeps its own order: each finds the one before it computed
        tokens = request.prefill[: len(request.prefill) - request.tail]
        name = request.namespace.encode() + b"\0"
        ticket = _Ticket(
            request, name + tokens.astype(">i4").tobytes(), len(name), self._serial, deadline
        )
        self._tickets[request] = ticket
        self._round.append(request)
        heappush(self._deadlines, (deadline, self._serial, ticket))
        insort(self._levels.setdefault(request.priority, _Level()).tickets, ticket)

    def put_back(self, request: EngineRequest) -> None:
        """Queues a request that ran already, ahead of all that did not."""
        self._returned.appendleft(request)

    def remove(self, request: EngineRequest, *, admitted: bool = False) -> None:
        """Takes a request out; `admitted` lets the scan go on from it."""
        self._admissions += admitted
        if request in self._returned:
            self._returned.remove(request)
            return
        ticket = self._tickets.pop(request)
        level = self._levels[request.priority]
        del level.tickets[bisect_left(level.tickets, ticket)]
        if admitted:
            level.after = ticket.key if level.held is None else level.held
        if not level.tickets:
            del self._levels[request.priority]

    def in_turn(self) -> EngineRequest | None:
        """One that has not run yet, another one every time until all had their turn."""
        while self._round:
            request = self._round.popleft()
            if request in self._tickets:
                self._round.append(request)
                return request
        return None

    def scan(self) -> Scan:
        """Whom to admit next, in order. Valid until the queue changes."""
        return Scan(self._order())

    def clear(self) -> None:
        """Takes all of them out."""
        self._levels.clear()
        self._tickets.clear()
        self._deadlines.clear()
        self._round.clear()
        self._returned.clear()

    def _order(self) -> Iterator[tuple[_Level, int, int]]:
        """Runs of tickets: (level, from, to)."""
        while self._deadlines and self._tickets.get(self._deadlines[0][2].request) is None:
            heappop(self._deadlines)
        first = self._deadlines[0][2] if self._deadlines else None
        is_overdue = first is not None and self._admissions >= first.deadline
        if self._returned:
            returned = [_Ticket(request, b"", 0, 0, 0) for request in self._returned]
            yield _Level(returned), 0, len(returned)
        if first is not None and is_overdue:
            yield _Level([first]), 0, 1
        for priority in sorted(self._levels, reverse=True):
            level = self._levels[priority]
            level.held = None
            start = bisect_left(level.tickets, level.after, key=lambda t: t.key)
            yield level, start, len(level.tickets)
            yield level, 0, start


class Scan:
    """The order of one round of admission; made by `WaitingQueue.scan`."""

    def __init__(self, runs: Iterator[tuple[_Level, int, int]]) -> None:
        self._runs = runs
        self._level = _Level()
        self._at = self._stop = 0

    def next(self, *, past: int = 0) -> EngineRequest | None:
        """The next request, or None at the end; an overdue one may come twice.

        `past`: passes over those that share this many tokens with the one before.
        """
        if past:
            self._pass_over(past)
        while self._at >= self._stop:
            run = next(self._runs, None)
            if run is None:
                return None
            self._level, self._at, self._stop = run
        self._at += 1
        return self._level.tickets[self._at - 1].request

    def _pass_over(self, n_tokens: int) -> None:
        level = self._level
        last = level.tickets[self._at - 1]
        if level.held is None:
            level.held = last.key
        size = last.key_start + 4 * n_tokens
        if size <= len(last.key):
            above = (int.from_bytes(last.key[:size], "big") + 1).to_bytes(size, "big")
            self._at = bisect_left(level.tickets, above, self._at, self._stop, key=lambda t: t.key)
