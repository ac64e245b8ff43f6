"""Pinned prefixes: the part of a program's prompt that no argument changes, kept in the cache.

The body is run up to its first generation, its first branch, or the first use of an argument that
was not given, whichever comes first, and what it has said by then is the prefix. So nothing behind
that place runs, and what lies before it runs once more, as it does for every row.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol
from weakref import WeakKeyDictionary

from .base import Backend, Prompt, Text
from .conversation import render
from .errors import ProgramError
from .expr import Expr, Gen, Select
from .state import State

if TYPE_CHECKING:
    from .context import Execution, Where
    from .conversation import Entry
    from .fork import Fork
    from .run_options import RunOptions


class Pinning(Protocol):
    """A backend that can keep a prefix."""

    def pin(self, name: str, prompt: Prompt, *, adapter: str = "", namespace: str = "") -> int:
        """Evaluates `prompt` and keeps it until `unpin(name)`; returns how many tokens it has.

        `adapter` and `namespace` are those of the requests that will begin with it. A pin of that
        name that is there already is replaced. Raises ParameterError if it does not fit beside what
        is pinned already.
        """
        ...

    def unpin(self, name: str) -> None:
        """Lets go of a pinned prefix; nothing happens if there is none of that name."""
        ...


_LOCK = threading.Lock()
_HOLDERS: WeakKeyDictionary[Pinning, Counter[str]] = WeakKeyDictionary()
"""How many hold each pin of a backend, by name: those of one prefix share a pin."""


@dataclass(eq=False, slots=True)
class PinnedPrefix:
    """What `program.cache(...)` keeps; `with` lets go of it at the end of the block.

    The prefix stays pinned until everybody who asked for it has let go of it.

    Attributes:
        name: the program's name and a digest of the prefix.
        tokens: how many tokens are kept.
    """

    name: str
    tokens: int
    backend: Pinning
    _is_held: bool = field(default=True, init=False, repr=False)

    def unpin(self) -> None:
        """Lets the cache evict the prefix like any other, unless others hold it. Idempotent."""
        with _LOCK:
            is_held, self._is_held = self._is_held, False
            if is_held:
                _let_go(self.backend, self.name)

    def __enter__(self) -> PinnedPrefix:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.unpin()


def pin_prefix(backend: Backend, program: str, prompt: Prompt, options: RunOptions) -> PinnedPrefix:
    """Pins `prompt`, a program's prefix. Raises ProgramError where there is nothing to pin.

    `backend` must be hashable, and not by what it contains.
    """
    if not prompt:
        raise ProgramError(
            f"program {program!r} says nothing before its first generation or the first use of an "
            f"argument that cache(...) was not given; give more arguments, or move text forward"
        )
    pin, unpin = getattr(backend, "pin", None), getattr(backend, "unpin", None)
    if not callable(pin) or not callable(unpin):
        raise ProgramError(
            f"{program}.cache(...): {type(backend).__name__} keeps no prefixes; use a local model"
        )
    digest = hashlib.blake2b(repr((options.adapter, options.namespace)).encode(), digest_size=16)
    for span in prompt:
        kind = f"template={span.template}" if isinstance(span, Text) else type(span).__name__
        digest.update(f"{kind} {len(span.text)} {span.text}".encode("utf-8", "surrogatepass"))
    name = f"{program} {digest.hexdigest()}"
    pinning: Pinning = backend  # type: ignore[assignment]  # it has both methods
    with _LOCK:  # before the pin is there: nobody who lets go meanwhile may take it away
        _HOLDERS.setdefault(pinning, Counter())[name] += 1
    try:
        tokens = pin(name, prompt, adapter=options.adapter, namespace=options.namespace)
        assert isinstance(tokens, int)
    except BaseException:
        with _LOCK:
            _let_go(pinning, name)
        raise
    return PinnedPrefix(name, tokens, pinning)


def _let_go(backend: Pinning, name: str) -> None:
    """One holder less. Under the lock, so that no new one comes between the count and the act."""
    holders = _HOLDERS[backend]
    holders[name] -= 1
    if not holders[name]:
        del holders[name]
        backend.unpin(name)


class _PrefixEnd(BaseException):
    """Ends the body; not an Exception, so that a program's own handlers let it pass."""


class PrefixState(State):
    """A state that runs a body only as far as its prompt is the same for every row."""

    def __init__(self, execution: Execution) -> None:
        super().__init__(execution)
        self._prefix: tuple[Entry, ...] | None = None

    def end(self) -> NoReturn:
        """Ends the prefix here."""
        if self._prefix is None:
            self._prefix = tuple(self._branch.log)
        raise _PrefixEnd

    def prefix(self, body: Callable[[], object]) -> Prompt:
        """What `body`, called on this state, says until the prefix ends. Raises what it raises."""
        with suppress(_PrefixEnd):
            body()
        self._branch.check()
        entries = self._branch.log if self._prefix is None else self._prefix
        return render(entries, self._execution.backend)

    def _append(self, item: str | Expr, where: Where) -> None:
        if self._prefix is not None or isinstance(item, (Gen, Select, Unknown)):
            self.end()
        super()._append(item, where)

    def fork(self, n: int = 1) -> Fork:
        """Ends the prefix."""
        self.end()

    def copy(self) -> State:
        """Ends the prefix."""
        self.end()


class Unknown(str):
    """An argument that was not given: it can be appended and passed on, and all else ends the
    prefix. A str, so that whatever takes text takes it, too.

    Code in C that reads a str's characters without asking for a method, as `"".join`, `re` and
    `json.dumps` do, sees an empty text and does not end the prefix: where a program does that with
    an argument, `cache` must be given it.
    """

    _state: PrefixState

    def __new__(cls, state: PrefixState) -> Unknown:
        self = super().__new__(cls)
        object.__setattr__(self, "_state", state)
        return self

    def _end(self, *_: object) -> NoReturn:
        state = object.__getattribute__(self, "_state")
        assert isinstance(state, PrefixState)
        state.end()

    def __getattribute__(self, name: str) -> Any:
        if name != "__class__":  # which isinstance() asks for
            Unknown._end(self)
        return Unknown


_OPERATIONS = (
    *("__str__", "__repr__", "__format__", "__hash__", "__bool__", "__int__", "__float__"),
    *("__index__", "__len__", "__iter__", "__contains__", "__getitem__"),
    *("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"),
    *("__add__", "__radd__", "__mul__", "__rmul__", "__mod__", "__rmod__"),
)
for _operation in _OPERATIONS:  # looked up on the class, past __getattribute__
    setattr(Unknown, _operation, Unknown._end)
