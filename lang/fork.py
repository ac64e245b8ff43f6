"""Branches of a state, and joining them again.

Forking and joining are operations of the parent's queue, so neither waits. A join puts one
`Collect` at the end of every child's queue; each delivers what its child has made, and the parent's
queue goes on when all have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, overload

from .context import Where
from .conversation import Entry
from .errors import ParameterError, ProgramError
from .expr import Appendable, Expr
from .interpreter import Branch, Finish, Op
from .state import State
from .variables import Gathered, Variable

JoinMode: TypeAlias = Literal["gather", "concat"]


class Fork(Sequence[State]):
    """The branches that `state.fork(n)` made.

    `forks += x` appends to every branch: the same text or expression; `x[i]` for a list of n; or
    `x(i)` for a callable.
    """

    def __init__(self, parent: State, n: int, where: Where) -> None:
        if not isinstance(n, int) or isinstance(n, bool) or n < 1:
            raise ParameterError("n", f"expected an integer, 1 or more, got {n!r}")
        branch = parent._branch
        if branch.error is not None:
            branch.check()
        self._parent = parent
        self._open_role = branch.roles.open_role
        self._states = [
            State(parent._execution, Branch(parent._execution, branch)) for _ in range(n)
        ]
        branch.enqueue(StartBranches([state._branch for state in self._states]), where)

    @overload
    def __getitem__(self, index: int) -> State: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[State]: ...
    def __getitem__(self, index: int | slice) -> State | Sequence[State]:
        return self._states[index]

    def __setitem__(self, index: int, state: State) -> None:
        """Lets `forks[i] += x` be written. Raises ProgramError for any other state."""
        if state is not self._states[index]:
            raise ProgramError(
                "the branches of a fork cannot be replaced; append with forks[i] += x"
            )

    def __len__(self) -> int:
        return len(self._states)

    def __iadd__(self, value: Appendable | Callable[[int], Appendable]) -> Fork:
        """Appends to every branch, without waiting. Raises ProgramError if it cannot."""
        if isinstance(value, (str, Expr)):
            items: list[Appendable] = [value] * len(self)
        elif callable(value):
            items = [value(index) for index in range(len(self))]
        elif isinstance(value, (list, tuple)):
            items = list(value)
            if len(items) != len(self):
                raise ProgramError(
                    f"a list of {len(items)} cannot be appended to {len(self)} branches; "
                    f"expected one item per branch"
                )
        else:
            raise ProgramError(
                f"cannot append {value!r:.80} to branches; expected text, an expression, a list "
                f"with one item per branch, or a function of the branch's index"
            )
        for state, item in zip(self._states, items, strict=True):
            state += item
        return self

    def join(self, mode: JoinMode | None = None) -> State:
        """Brings the branches back into the parent, which is returned; does not wait.

        A branch's error becomes the parent's, whatever the mode.

        Args:
            mode: None only waits in the parent's queue. "gather" sets, for every name made in the
                branches since the fork (or the last join), the parent's variable to the list of
                their values, in branch order; a branch that has not made the name contributes
                nothing; a name that an earlier join of this parent gathered is extended, so a
                second fork under the same names loses nothing. "concat" appends the branches' text
                since then to the parent, in branch order, messages included.

        Raises ProgramError for an unknown mode, or a concat in the middle of a branch's message.
        """
        if mode not in (None, "gather", "concat"):
            raise ProgramError(f"join mode {mode!r}: expected None, 'gather' or 'concat'")
        where = Where.of_caller()
        parent = self._parent._branch
        branches = [state._branch for state in self._states]
        if mode == "concat":
            self._check_roles(parent, branches)
        names = dict.fromkeys(name for branch in branches for name in branch.made)
        extended = frozenset(name for name in names if name in parent.made)
        join = Join(mode, list(names) if mode == "gather" else [], extended, len(branches))
        for index, branch in enumerate(branches):
            branch.enqueue(Collect(join, index, tuple(branch.made)), where)
            if mode is not None:
                branch.made = {}
                branch.roles.marks = []
        parent.next_unnamed = max(branch.next_unnamed for branch in (parent, *branches))
        parent.enqueue(join, where)
        return self._parent

    def _check_roles(self, parent: Branch, branches: Sequence[Branch]) -> None:
        for index, branch in enumerate(branches):
            if (
                branch.roles.open_role != self._open_role
                or parent.roles.open_role != self._open_role
            ):
                raise ProgramError(
                    f"branch {index} has the open message {branch.roles.open_role!r}, the fork was "
                    f"made in {self._open_role!r} and the parent is in {parent.roles.open_role!r}; "
                    f"concat needs the three to agree. End the message, or join with 'gather'."
                )
        for branch in branches:
            for mark in branch.roles.marks:
                parent.roles.add(mark)


class StartBranches(Op):
    """Gives the branches of a fork their parent's contents."""

    def __init__(self, branches: Sequence[Branch]) -> None:
        self._branches = branches

    def start(self, branch: Branch, finish: Finish) -> None:
        for child in self._branches:
            child.begin(branch)
        finish(None)

    def abandon(self, branch: Branch, error: BaseException) -> None:
        for child in self._branches:
            child.fail(error, seen=True)


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one branch brings to a join."""

    entries: tuple[Entry, ...]
    variables: dict[str, Variable]


class Collect(Op):
    """The end of a branch, as far as a join is concerned."""

    def __init__(self, join: Join, index: int, names: tuple[str, ...]) -> None:
        self._join = join
        self._index = index
        self._names = names

    def start(self, branch: Branch, finish: Finish) -> None:
        with branch.execution.lock:
            entries = tuple(branch.log[branch.start_index :])
            variables = {name: branch.variables[name] for name in self._names}
            if self._join.mode is not None:
                branch.start_index = len(branch.log)
        self._join.deliver(branch, self._index, Contribution(entries, variables))
        finish(None)

    def abandon(self, branch: Branch, error: BaseException) -> None:
        branch.was_seen = True  # from here on the parent answers for it
        self._join.fail(branch, error)


class Join(Op):
    """Waits for the contributions of all branches, then adds them to the parent."""

    def __init__(
        self, mode: JoinMode | None, names: list[str], extended: frozenset[str], n_branches: int
    ) -> None:
        self.mode = mode
        self.defines = names
        self._extended = extended
        self._contributions: list[Contribution | None] = [None] * n_branches
        self._error: BaseException | None = None
        self._parent: Branch | None = None
        self._finish: Finish | None = None

    def start(self, branch: Branch, finish: Finish) -> None:
        with branch.execution.lock:
            self._parent, self._finish = branch, finish
        self._complete(branch)

    def deliver(self, child: Branch, index: int, contribution: Contribution) -> None:
        """Takes a branch's contribution."""
        with child.execution.lock:
            self._contributions[index] = contribution
        self._complete(child)

    def fail(self, child: Branch, error: BaseException) -> None:
        """Takes a branch's error; the first one counts."""
        with child.execution.lock:
            self._error = self._error or error
        self._complete(child)

    def _complete(self, branch: Branch) -> None:
        with branch.execution.lock:
            if self._parent is None or self._finish is None:
                return
            finish, error = self._finish, self._error
            given = [c for c in self._contributions if c is not None]
            if error is None:
                if len(given) < len(self._contributions):
                    return
                self._apply(self._parent, given)
            self._finish = None
        finish(error)

    def _apply(self, parent: Branch, contributions: Sequence[Contribution]) -> None:
        if self.mode == "concat":
            parent.append(*(entry for c in contributions for entry in c.entries))
        for name in self.defines:
            parts = tuple(c.variables[name] for c in contributions if name in c.variables)
            earlier = parent.variables.get(name)
            if name in self._extended and isinstance(earlier, Gathered):
                parts = earlier.parts + parts
            parent.variables[name] = Gathered(parts)
