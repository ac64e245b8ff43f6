"""The state of a running prompt program: what its body appends to and reads from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .base import Text, Usage
from .context import Execution, Where
from .conversation import Piece, content_of, fold, render, text_of
from .errors import ParameterError, ProgramError
from .expr import Appendable, Concat, Expr, Gen, Image, Marker, RoleBegin, RoleEnd, Select, leaves
from .interpreter import Branch
from .operations import Append, Assign, CloseScope, Generate, OpenScope
from .primitives import checked_variable
from .stream import read_variable
from .unordered import Unordered
from .variables import GenMeta

if TYPE_CHECKING:
    from .fork import Fork


class State:
    """A conversation under construction and the variables made in it.

    `+=` returns at once; only reading waits. After an error every read raises that error, and what
    is appended is dropped. Once the program is cancelled, appending raises CancelledError.

    Names are like Python's: defining one again rebinds it. Generations without a name are called
    `_0`, `_1`, ... in the order of the program.

    Attributes:
        value: what the program function returned; None before that, and in branches.
    """

    def __init__(self, execution: Execution, branch: Branch | None = None) -> None:
        self._execution = execution
        self._branch = branch if branch is not None else Branch(execution)
        self.value: Any = None

    __iter__ = None  # `in` and [] take names; without this, iterating would ask for variable 0

    def __repr__(self) -> str:
        """The program and its variables' names; waits for nothing."""
        failed = f", error={self.error!r:.80}" if self.error is not None else ""
        names = ", ".join(self.names()) or "none"
        return f"<treegram state of {self._execution.program!r}, variables: {names}{failed}>"

    # Appending

    def __add__(self, other: Appendable) -> State:
        raise ProgramError("a state is appended to in place: write s += ..., not s = s + ...")

    def __iadd__(self, value: Appendable) -> State:
        """Appends text, an expression or a list of these; does not wait."""
        items = list(leaves(value))
        where = Where.of_caller()
        for item in items:
            self._append(item, where)
        return self

    def _append(self, item: str | Expr, where: Where) -> None:
        branch = self._branch
        match item:
            case "":
                pass
            case str():
                branch.roles.add(None)
                branch.enqueue(Append(Piece((Text(item),))), where)
            case Marker(text):
                branch.roles.add(None)
                branch.enqueue(Append(Piece((Text(text, template=True),))), where)
            case Image(picture):
                branch.roles.add(None)
                branch.enqueue(Append(Piece((picture,))), where)
            case RoleBegin() | RoleEnd():
                branch.roles.add(item)
                branch.enqueue(Append(item), where)
            case Unordered(blocks, separator, name):
                order = self._execution.orders.order(blocks)
                self._append(separator.join(blocks[index] for index in order), where)
                if name is not None:
                    branch.enqueue(Assign(name, list(order)), where)
            case Gen() | Select():
                branch.roles.add(None)
                branch.enqueue(Generate(item, item.name or branch.unnamed()), where)
            case Concat():
                raise AssertionError("leaves() gives no Concat")
            case _:
                raise ProgramError(f"cannot append an expression of type {type(item).__name__}")

    @contextmanager
    def _role(self, role: str, where: Where) -> Iterator[State]:
        self._append(RoleBegin(role), where)
        try:
            yield self
        except BaseException:
            # The body's error is what matters; the message closes so that the state stays usable.
            if self._branch.roles.open_role == role and self._execution.cancelled is None:
                self._append(RoleEnd(role), where)
            raise
        self._append(RoleEnd(role), where)

    def system(self) -> AbstractContextManager[State]:
        """`with s.system():` everything appended inside is one system message."""
        return self._role("system", Where.of_caller())

    def user(self) -> AbstractContextManager[State]:
        """`with s.user():` everything appended inside is one user message."""
        return self._role("user", Where.of_caller())

    def assistant(self) -> AbstractContextManager[State]:
        """`with s.assistant():` everything appended inside is one assistant message."""
        return self._role("assistant", Where.of_caller())

    def var_scope(self, name: str) -> AbstractContextManager[State]:
        """`with s.var_scope("x"):` sets `x` to all text appended inside, generated or not."""
        return self._scope(checked_variable(name), Where.of_caller())

    @contextmanager
    def _scope(self, name: str, where: Where) -> Iterator[State]:
        opened = OpenScope()
        self._branch.enqueue(opened, where)
        yield self
        self._branch.enqueue(CloseScope(name, opened), where)

    # Variables

    def __getitem__(self, name: str) -> Any:
        """Waits for a variable and gives its value.

        That is a str for a plain `gen` or a `select`, the validated value for a constrained `gen`,
        a list for `n > 1` and after a gathering join.

        Raises:
            VariableError: nothing in the program defines `name`.
            OutputError: the text is no value of its constraint (cut by max_tokens, or refused).
            Exception: whatever failed earlier in this state.
        """
        return self._branch.wait_for(name).value()

    def __setitem__(self, name: str, value: object) -> None:
        """Sets a variable, in order with what was appended before."""
        self._branch.enqueue(Assign(checked_variable(name), value), Where.of_caller())

    def __contains__(self, name: object) -> bool:
        """Whether the program has defined `name` so far; does not wait."""
        return name in self._branch.declared

    def get(self, name: str, default: Any = None) -> Any:
        """`self[name]`, or `default` where nothing defines it."""
        if name not in self:
            return default
        return self[name]

    def names(self) -> list[str]:
        """The names defined so far, in order; does not wait."""
        return list(self._branch.declared)

    def meta(self, name: str, index: int = 0) -> GenMeta:
        """How the generation behind a variable went; waits for it.

        `index` chooses among the samples of `n > 1`, or the branches of a gathering join.

        Raises ProgramError if no generation made the variable, ParameterError for a bad index.
        """
        metas = self._branch.wait_for(name).metas()
        if not metas:
            raise ProgramError(f"{name!r} was assigned, not generated, so it has no meta()")
        if not 0 <= index < len(metas):
            raise ParameterError("index", f"expected 0 to {len(metas) - 1}, got {index!r}")
        return metas[index]

    def text_iter(self, name: str) -> Iterator[str]:
        """The text of a generation as it comes; raises its error from the iterator."""
        return read_variable(self._branch, name)

    # The conversation

    def text(self) -> str:
        """Everything so far as the model sees it, chat template included; waits."""
        self._branch.wait_idle()
        return text_of(render(self._branch.log, self._execution.backend))

    def messages(self) -> list[dict[str, Any]]:
        """The chat messages so far, the open one included, as role and content; waits.

        The content is a text or, with images, a list of parts as OpenAI's API has them.
        """
        self._branch.wait_idle()
        conversation = fold(self._branch.log)
        messages: list[dict[str, Any]] = [
            {"role": message.role, "content": content_of(message.content)}
            for message in conversation.messages
        ]
        if conversation.open_role is not None:
            content = content_of(conversation.open_spans)
            messages.append({"role": conversation.open_role, "content": content})
        return messages

    @property
    def usage(self) -> Usage:
        """Token counts of what this state and the branches forked from it have generated so far."""
        return self._branch.usage

    @property
    def error(self) -> BaseException | None:
        """What failed, or None; does not wait."""
        return self._branch.error

    def sync(self) -> State:
        """Waits for everything appended so far. Raises its error."""
        self._branch.wait_idle()
        return self

    def cancel(self) -> None:
        """Cancels the program: this state, and every state of the same run.

        No effect on a run that has finished. Requests in flight end, their cells are freed, and
        reads raise CancelledError.
        """
        self._execution.cancel()

    # Branches

    def fork(self, n: int = 1) -> Fork:
        """`n` branches that start from here; does not wait. See Fork.

        Raises ParameterError for a bad `n`, and this state's error if it has failed.
        """
        from .fork import Fork

        return Fork(self, n, Where.of_caller())

    def copy(self) -> State:
        """One branch that starts from here and is never joined; also a context manager."""
        from .fork import Fork

        return Fork(self, 1, Where.of_caller())[0]

    def __enter__(self) -> State:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing to release: `with s.copy() as t:` only names the branch."""
