"""Running one program over many rows.

Bodies run in threads, because a body that reads a result blocks; the generations of all rows meet
in the engine's one batch. Rows start as others finish, so a window of rows and not the whole input
is in memory at once.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from .errors import CancelledError, ParameterError

if TYPE_CHECKING:
    from .state import State

MAX_ROWS_AT_ONCE = 64


class BatchInterrupted(KeyboardInterrupt):
    """Ctrl-C during `run_batch`.

    `results` has the state of each row that had finished (with or without an error), and None for
    the others, in the order of the rows.
    """

    def __init__(self, results: list[State | None]) -> None:
        self.results = results
        n_finished = sum(state is not None for state in results)
        super().__init__(
            f"interrupted after {n_finished} of {len(results)} rows; their states are in .results"
        )


def checked_rows(rows: Iterable[object]) -> Iterable[object]:
    """`rows`, unless it is a single row that would fall apart into its characters or keys."""
    if isinstance(rows, str | bytes | Mapping):
        raise ParameterError(
            "rows", f"expected a list of rows, got one {type(rows).__name__}; put it in a list"
        )
    return rows


def iterate(
    rows: Iterable[object],
    *,
    new_state: Callable[[], State],
    run_row: Callable[[State, object], None],
    num_threads: int | None,
    progress: bool | None,
    description: str,
) -> Iterator[tuple[int, State]]:
    """(row number, state) as rows finish. `run_row` raises the row's error, which is its state's.

    Raises ParameterError at once for a bad `num_threads`.
    """
    n_rows = len(rows) if isinstance(rows, Sized) else None
    if num_threads is None:
        num_threads = MAX_ROWS_AT_ONCE if n_rows is None else min(n_rows, MAX_ROWS_AT_ONCE)
    elif not isinstance(num_threads, int) or isinstance(num_threads, bool) or num_threads < 1:
        raise ParameterError("num_threads", f"expected an integer, 1 or more, got {num_threads!r}")
    finished = _run_rows(iter(checked_rows(rows)), new_state, run_row, num_threads)
    is_shown = sys.stderr.isatty() if progress is None else progress
    return _with_progress(finished, n_rows, description) if is_shown else finished


def run(
    rows: Iterable[object],
    *,
    new_state: Callable[[], State],
    run_row: Callable[[State, object], None],
    num_threads: int | None,
    progress: bool | None,
    description: str,
) -> list[State]:
    """The states of all rows, in order. Raises BatchInterrupted on Ctrl-C."""
    rows = list(checked_rows(rows))
    finished: set[int] = set()
    started: list[State] = []

    def recorded_state() -> State:
        started.append(new_state())
        return started[-1]

    def recorded_run(state: State, row: object) -> None:
        # Here and not where results are taken: Ctrl-C may come between the two.
        try:
            run_row(state, row)
        finally:
            if not isinstance(state.error, CancelledError):
                finished.add(id(state))

    results = iterate(
        rows,
        new_state=recorded_state,
        run_row=recorded_run,
        num_threads=num_threads,
        progress=progress,
        description=description,
    )
    try:
        for _ in results:
            pass
    except KeyboardInterrupt as exc:
        kept = [state if id(state) in finished else None for state in started]
        raise BatchInterrupted(kept + [None] * (len(rows) - len(kept))) from exc
    return started


def _run_rows(
    rows: Iterator[object],
    new_state: Callable[[], State],
    run_row: Callable[[State, object], None],
    num_threads: int,
) -> Iterator[tuple[int, State]]:
    todo: SimpleQueue[tuple[int, object, State] | None] = SimpleQueue()
    done: SimpleQueue[tuple[int, State]] = SimpleQueue()
    running: dict[int, State] = {}
    n_workers = 0
    n_started = 0

    def work() -> None:
        while (job := todo.get()) is not None:
            index, row, state = job
            try:
                run_row(state, row)
            except BaseException as exc:
                # It is in state.error already, unless the row itself could not be read.
                state._branch.fail(exc)
            done.put((index, state))

    try:
        while True:
            while len(running) < num_threads:
                try:
                    row = next(rows)
                except StopIteration:
                    break
                state = new_state()
                running[n_started] = state
                todo.put((n_started, row, state))
                n_started += 1
                if n_workers < len(running):
                    n_workers += 1
                    name = f"treegram-row-{n_workers}"
                    threading.Thread(target=work, name=name, daemon=True).start()
            if not running:
                return
            index, state = done.get()
            del running[index]
            yield index, state
    finally:
        for state in running.values():
            state.cancel()
        for _ in range(n_workers):
            todo.put(None)


def _with_progress(
    finished: Iterator[tuple[int, State]], n_rows: int | None, description: str
) -> Iterator[tuple[int, State]]:
    from tqdm import tqdm

    bar: tqdm[Any] = tqdm(total=n_rows, desc=description, unit="row")
    n_failed = 0
    try:
        for index, state in finished:
            if state.error is not None:
                n_failed += 1
                bar.set_postfix(failed=n_failed)
            bar.update()
            yield index, state
    finally:
        bar.close()
        close = getattr(finished, "close", None)
        if close is not None:
            close()
