"""Reading text while it is being generated."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from .conversation import Piece
from .interpreter import Branch, LiveText

if TYPE_CHECKING:
    from .state import State


@dataclass(frozen=True, slots=True)
class Delta:
    """The next bit of a program's text.

    `variable` names the generation it belongs to; None for text that the program itself appended
    (a joined branch's generations keep their names).
    """

    variable: str | None
    text: str


class Stream:
    """The text of a running program, in the order of its conversation.

    Iterate once; the texts of one variable's deltas add up to its text. An error of the program
    is raised from the iterator, after the text that came before it. As a context manager, leaving
    before the end cancels the program; so does `close()`.

    Attributes:
        state: the program's state; complete once the iteration has ended.
    """

    def __init__(self, state: State, run: Callable[[], object]) -> None:
        """`run` executes the program on `state` and raises its error."""
        self.state = state
        self._is_over = False
        self._error: BaseException | None = None
        self._deltas = self._read()
        self._run = run
        threading.Thread(target=self._work, name="treegram-stream", daemon=True).start()

    def _work(self) -> None:
        error = None
        try:
            self._run()
        except BaseException as exc:
            error = exc
        execution = self.state._execution
        with execution.lock:
            self._is_over = True
            self._error = error
            execution.text_changed.notify_all()

    def _read(self) -> Iterator[Delta]:
        execution = self.state._execution
        reader = LogReader(self.state._branch)
        while True:
            with execution.lock:
                while (delta := reader.next()) is None and not self._is_over:
                    execution.text_changed.wait()
            if delta is None:
                break
            yield delta
        if self._error is not None:
            raise self._error

    def __iter__(self) -> Iterator[Delta]:
        return self._deltas

    def __next__(self) -> Delta:
        return next(self._deltas)

    def cancel(self) -> None:
        """Cancels the program unless it has finished."""
        if not self._is_over:
            self.state.cancel()

    close = cancel

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cancel()


class LogReader:
    """Walks a branch's log, and the text of the generation at its end as it grows."""

    def __init__(self, branch: Branch) -> None:
        self._branch = branch
        self._index = 0
        self._live: LiveText | None = None
        self._n_parts = 0
        self._n_chars = 0

    def next(self) -> Delta | None:
        """The text that has come since the last call, None if there is none (under the lock)."""
        branch = self._branch
        while self._index < len(branch.log):
            entry = branch.log[self._index]
            self._index += 1
            skip, self._n_chars = self._n_chars, 0
            if isinstance(entry, Piece) and (text := entry.text[skip:]):
                return Delta(entry.variable, text)
        if branch.live is None:
            return None
        if branch.live is not self._live:
            self._live, self._n_parts = branch.live, 0
        text = "".join(branch.live.parts[self._n_parts :])
        self._n_parts = len(branch.live.parts)
        self._n_chars += len(text)
        return Delta(branch.live.variable, text) if text else None


def read_variable(branch: Branch, name: str) -> Iterator[str]:
    """The text of the generation `name`, as it comes; raises the branch's error."""
    execution = branch.execution
    if name not in branch.declared:
        branch.wait_for(name)  # raises
    n_chars = 0
    n_parts = 0
    while True:
        with execution.lock:
            text = ""
            while branch.is_pending(name):
                live = branch.live
                if live is not None and live.variable == name:
                    text = "".join(live.parts[n_parts:])
                    n_parts = len(live.parts)
                    if text:
                        break
                execution.text_changed.wait()
        if not text:
            break
        n_chars += len(text)
        yield text
    metas = branch.wait_for(name).metas()
    rest = "".join(meta.text for meta in metas[:1])[n_chars:]
    if rest:
        yield rest
