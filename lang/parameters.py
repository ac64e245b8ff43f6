"""What a program can be called with: its function's parameters behind the state."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .errors import ProgramError
from .sampling import SamplingParams
from .state import State

RESERVED = (
    *("model", "sampling", "engine", "adapter", "namespace", "priority"),
    *("num_threads", "progress"),
)
"""Parameters of every run, which a program's own cannot be called."""


class Parameters:
    """The parameters of one program, some of which are `bound` to arguments.

    Attributes:
        program: the program's name.
        signature: the parameters without the state and without those that are bound.

    Raises ProgramError for a function that cannot be a program's.
    """

    def __init__(self, fn: Callable[..., object], bound: Mapping[str, object]) -> None:
        parameters = _checked(fn)[1:]
        self.program: str = getattr(fn, "__name__", type(fn).__name__)
        self._bound = dict(bound)
        self._all = inspect.Signature(parameters)
        self.signature = inspect.Signature([p for p in parameters if p.name not in self._bound])

    def bound_with(self, arguments: Mapping[str, object]) -> dict[str, object]:
        """All that is bound with `arguments`, too. Raises ProgramError for an unknown name."""
        for name in arguments:
            if name not in self.signature.parameters:
                raise ProgramError(
                    f"{self.program}{self.signature} has no parameter {name!r} left to bind"
                )
        return {**self._bound, **arguments}

    def given(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> dict[str, object]:
        """The arguments of a call by parameter. Raises ProgramError where they do not fit."""
        return self._given(self.signature.bind, args, kwargs)

    def given_so_far(
        self, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> dict[str, object]:
        """Those of a call that may lack some. Raises ProgramError where they do not fit."""
        return self._given(self.signature.bind_partial, args, kwargs)

    def missing(self, given: Mapping[str, object]) -> Iterator[str]:
        """The parameters that have neither an argument nor a default."""
        for name, parameter in self.signature.parameters.items():
            is_variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            if name not in given and parameter.default is parameter.empty and not is_variadic:
                yield name

    def call(self, given: Mapping[str, object]) -> inspect.BoundArguments:
        """What the function is called with behind the state."""
        # bound arguments may lie between the others, so the call is put together by name
        merged = {**given, **self._bound}
        return inspect.BoundArguments(
            self._all, {name: merged[name] for name in self._all.parameters if name in merged}
        )

    def _given(
        self,
        bind: Callable[..., inspect.BoundArguments],
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
    ) -> dict[str, object]:
        try:
            return bind(*args, **kwargs).arguments
        except TypeError as exc:
            raise ProgramError(
                f"{self.program}{self.signature}: {self._mismatch(exc, kwargs)}"
            ) from None

    def _mismatch(self, error: TypeError, kwargs: Mapping[str, object]) -> str:
        """What is wrong with arguments; unknown names first, since they are the usual cause."""
        unknown = [name for name in kwargs if name not in self.signature.parameters]
        if not unknown:
            return str(error)
        what = f"no parameter {', '.join(map(repr, unknown))}"
        if any(name in SamplingParams.__dataclass_fields__ for name in unknown):
            return f"{what}; sampling parameters go into sampling=tg.SamplingParams(...)"
        return f"{what}; expected {', '.join(self.signature.parameters) or 'no arguments'}"


def _checked(fn: Callable[..., object]) -> list[inspect.Parameter]:
    """The parameters of a program. Raises ProgramError where it can be none."""
    if not callable(fn):
        raise ProgramError(f"tg.function decorates a function, got {fn!r:.80}")
    name = getattr(fn, "__name__", repr(fn))
    if inspect.iscoroutinefunction(fn) or inspect.isgeneratorfunction(fn):
        raise ProgramError(
            f"program {name!r} must be a plain function, not async and not a generator; "
            f"to run it from async code use `await {name}.arun(...)`"
        )
    parameters = list(inspect.signature(fn).parameters.values())
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if not parameters or parameters[0].kind not in positional:
        raise ProgramError(
            f"program {name!r} needs the state as its first positional parameter: "
            f"def {name}(s, ...)"
        )
    first = parameters[0]
    if first.default is not first.empty or not _may_be_state(first.annotation):
        raise ProgramError(
            f"the first parameter of program {name!r} is the state, but it is declared "
            f"`{first}`: write def {name}(s, {first.name}, ...)"
        )
    for parameter in parameters:
        if parameter.name in RESERVED:
            raise ProgramError(
                f"program {name!r} cannot have a parameter called {parameter.name!r}, which "
                f"run() and run_batch() take themselves; rename it"
            )
    return parameters


def _may_be_state(annotation: object) -> bool:
    if annotation in (inspect.Parameter.empty, Any, object):
        return True
    if isinstance(annotation, str):
        return annotation.strip("\"'").split(".")[-1] in ("State", "Any", "object")
    return isinstance(annotation, type) and issubclass(annotation, State)
