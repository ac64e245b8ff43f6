"""The queue of a state's operations, and what runs it.

The body of a program only enqueues. No thread belongs to a state: each operation is started by
whoever ended the one before it, the body's own thread or the engine's, so branches make progress
together without threads of their own.

    body:    += text   += gen("a")   += text   fork      += gen("b")     s["a"]
    queue:   [Append]  [Generate] -> [Append]  [Start]   [Generate] ...  waits for "a" only
                            |
                            engine's callback: store the result, start the next

An operation's error poisons its branch: what is queued behind it is abandoned, the children that
it would have started fail with the same error, and every read raises it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TypeAlias

from .base import Usage
from .context import Execution, Where
from .conversation import Entry, RoleOrder
from .errors import VariableError
from .variables import Variable

Finish: TypeAlias = Callable[[BaseException | None], None]


class Op(ABC):
    """One queued operation; `defines` are the variables that it makes."""

    defines: Sequence[str] = ()

    @abstractmethod
    def start(self, branch: Branch, finish: Finish) -> None:
        """Begins; `finish(error or None)` is called once it has ended, now or later.

        Never runs user code. An exception counts as `finish(exception)`.
        """

    def abandon(self, branch: Branch, error: BaseException) -> None:
        """Called instead of `start` if the branch has failed before; most have nothing to do."""
        return


class LiveText:
    """The text of the generation that is running now, as it comes."""

    def __init__(self, variable: str) -> None:
        self.variable = variable
        self.parts: list[str] = []


class Branch:
    """The queue and the contents of one state. Fields are guarded by the run's lock.

    Attributes:
        log: the conversation so far.
        variables: what has been made so far.
        declared: every name that the body has defined or will have, once the queue has run.
        made: those of them defined since the branch began.
        live: the generation that is running now.
        error: what poisoned the branch; `was_seen` once it was raised to a reader.
        roles: the roles as the body has appended them.
        start_index: where in `log` this branch's own part begins.
    """

    def __init__(self, execution: Execution, parent: Branch | None = None) -> None:
        self.execution = execution
        self.parent = parent
        self.log: list[Entry] = []
        self.variables: dict[str, Variable] = {}
        self.usage = Usage()
        self.live: LiveText | None = None
        self.error: BaseException | None = None
        self._traceback: TracebackType | None = None
        self.was_seen = False
        self.start_index = 0
        self.made: dict[str, None] = {}
        self.declared: dict[str, None] = dict(parent.declared) if parent else {}
        self.roles: RoleOrder = parent.roles.branch() if parent else RoleOrder()
        self.next_unnamed: int = parent.next_unnamed if parent else 0
        self._pending_names: dict[str, int] = {}
        self._ops: deque[tuple[Op, Where]] = deque()
        self._is_started = parent is None
        self._is_running = False

    # Enqueueing, by the body's thread

    def unnamed(self) -> str:
        """The next name for a generation that has none."""
        self.next_unnamed += 1
        return f"_{self.next_unnamed - 1}"

    def enqueue(self, op: Op, where: Where) -> None:
        """Queues an operation and lets the branch go on. Raises CancelledError."""
        with self.execution.lock:
            if self.execution.cancelled is not None:
                raise self.execution.cancelled
            for name in op.defines:
                self.declared[name] = None
                self.made[name] = None
                self._pending_names[name] = self._pending_names.get(name, 0) + 1
            self._ops.append((op, where))
            self.execution.pending += 1
        self._go_on()

    def begin(self, parent: Branch) -> None:
        """Gives a forked branch its parent's contents and lets it go on."""
        with self.execution.lock:
            self.log = list(parent.log)
            self.start_index = len(self.log)
            self.variables = dict(parent.variables)
            self._is_started = True
        self._go_on()

    def fail(self, error: BaseException, seen: bool = False) -> None:
        """Poisons the branch; what is queued is abandoned. A branch keeps its first error.

        `seen`: somebody else reports the error already.
        """
        self._poison(error, seen)
        self._go_on()

    def _poison(self, error: BaseException, seen: bool = False) -> None:
        with self.execution.lock:
            if self.error is None:
                self.error = error
                self._traceback = error.__traceback__
                self.was_seen = seen
                self.execution.failed.append(self)
            self.live = None
            self._is_started = True
            self.execution.changed.notify_all()
            self.execution.text_changed.notify_all()

    # Running, by whoever ended the previous operation

    def _go_on(self) -> None:
        self.execution.schedule(self)
        self.execution.drain()

    def step(self) -> None:
        """Starts the operation at the head, if none is running."""
        with self.execution.lock:
            if self._is_running or not self._is_started or not self._ops:
                return
            self._is_running = True
            op, where = self._ops[0]
            error = self.error or self.execution.cancelled

        is_ended = False

        def finish(error: BaseException | None) -> None:
            nonlocal is_ended
            with self.execution.lock:
                if is_ended:
                    return
                is_ended = True
                if error is not None:
                    note_line(error, where, self.execution.program)
                    self._poison(error)
                self._is_running = False
                self._ops.popleft()
                for name in op.defines:
                    self._pending_names[name] -= 1
                self.execution.pending -= 1
                self.execution.changed.notify_all()
                self.execution.text_changed.notify_all()
                self.execution.schedule(self)
            self.execution.drain()

        try:
            if error is None:
                op.start(self, finish)
            else:
                self._poison(error)
                op.abandon(self, error)
                finish(None)
        except BaseException as exc:
            finish(exc)

    def append(self, *entries: Entry) -> None:
        """Extends the log."""
        with self.execution.lock:
            self.log.extend(entries)
            self.execution.text_changed.notify_all()

    def set_live(self, live: LiveText | None) -> None:
        """Says which generation is running now."""
        with self.execution.lock:
            self.live = live
            self.execution.text_changed.notify_all()

    def count(self, usage: Usage) -> None:
        """Adds to the usage of this branch and of those that it comes from."""
        with self.execution.lock:
            branch: Branch | None = self
            while branch is not None:
                branch.usage += usage
                branch = branch.parent

    # Reading, by any thread

    def check(self) -> None:
        """Raises the branch's error, if it has one."""
        with self.execution.lock:
            if self.error is not None:
                self.was_seen = True
                raise self.error.with_traceback(self._traceback)
            if self.execution.cancelled is not None and self._ops:
                raise self.execution.cancelled

    def wait_idle(self) -> None:
        """Waits until nothing is queued. Raises the branch's error."""
        self.execution.wait(lambda: not self._ops or self.error is not None)
        self.check()

    def is_pending(self, name: str) -> bool:
        """Whether a queued operation will still define `name` (call it under the lock)."""
        if self.error is not None:
            return False
        return not self._is_started or self._pending_names.get(name, 0) > 0

    def wait_for(self, name: str) -> Variable:
        """Waits for the latest definition of `name`. Raises the branch's error or VariableError."""
        with self.execution.lock:
            if name not in self.declared:
                self.check()
                raise VariableError(name, list(self.declared))
        self.execution.wait(lambda: not self.is_pending(name))
        self.check()
        with self.execution.lock:
            return self.variables[name]


def note_line(error: BaseException, where: Where, program: str) -> None:
    """Notes a program's line, once per error: one error may pass through several branches."""
    prefix = "in program "
    if not any(note.startswith(prefix) for note in getattr(error, "__notes__", ())):
        error.add_note(f"{prefix}{program!r}, {where}")
