"""Prompt programs: the decorator, and the ways to run one."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from . import batch
from .base import Backend, EngineName
from .context import Execution, Where
from .errors import ProgramError
from .interpreter import note_line
from .ordering import OrderPlanners, OrderReport
from .parameters import Parameters
from .pinned import PinnedPrefix, PrefixState, Unknown, pin_prefix
from .provider import resolve_model
from .run_options import RunOptions
from .sampling import SamplingParams
from .state import State
from .stream import Stream


def function(fn: Callable[..., object]) -> Program:
    """Makes a prompt program of a function whose first parameter is the state.

    The body is ordinary Python and runs once per call of `run`. Raises ProgramError for a
    signature that cannot be a program's.
    """
    return Program(fn)


class Program:
    """A prompt program.

    Called with a state as first argument, inside another program, it runs its body on that state
    and returns what the body returns.

    Attributes:
        name: the function's name.
        doc: its docstring, "" without one.
        signature: its parameters without the state and without those that `bind` fixed.
        fn: the function itself.
    """

    def __init__(
        self, fn: Callable[..., object], bound: Mapping[str, object] | None = None
    ) -> None:
        self._parameters = Parameters(fn, bound or {})
        self.fn = fn
        self._orders = OrderPlanners()
        self.name = self._parameters.program
        self.doc = inspect.getdoc(fn) or ""
        self.signature = self._parameters.signature

    def __repr__(self) -> str:
        return f"<treegram program {self.name}{self.signature}>"

    def __call__(self, state: State, /, *args: Any, **kwargs: Any) -> Any:
        """Runs the body inline on the state of the calling program."""
        if not isinstance(state, State):
            raise ProgramError(
                f"{self.name}(...) called with {state!r:.80}: inside a program pass its state "
                f"first; from outside use {self.name}.run(...)"
            )
        return self._call(state, args, kwargs)

    def run(
        self,
        *args: Any,
        model: str | Backend | None = None,
        sampling: SamplingParams | None = None,
        engine: EngineName | None = None,
        adapter: str = "",
        namespace: str = "",
        priority: int = 0,
        **kwargs: Any,
    ) -> State:
        """Runs the program and waits until everything in it has finished.

        Args:
            args, kwargs: the program's own arguments.
            model: a model's name or path, or a backend; None is the default model.
            sampling: what a `gen` uses for sampling parameters that it does not give itself.
            engine: who executes constraints where a `gen` does not say.
            adapter: the model's LoRA adapter that a `gen` uses which names none; "" for none.
            namespace: cached prefixes are shared with runs of the same namespace only; a secret one
                per tenant keeps tenants from learning of each other's prompts by their speed.
            priority: of requests that wait, those with a higher one go first.

        Raises the first error of the body, a branch or the engine, with the program's line as a
        note. A branch's error that the body has caught itself is not raised again.
        """
        state = self._new_state(model, _options(sampling, engine, adapter, namespace, priority))
        self._execute(state, args, kwargs)
        return state

    def stream(
        self,
        *args: Any,
        model: str | Backend | None = None,
        sampling: SamplingParams | None = None,
        engine: EngineName | None = None,
        adapter: str = "",
        namespace: str = "",
        priority: int = 0,
        **kwargs: Any,
    ) -> Stream:
        """Starts the program in a thread of its own and gives its text as it comes."""
        state = self._new_state(model, _options(sampling, engine, adapter, namespace, priority))
        return Stream(state, lambda: self._execute(state, args, kwargs))

    async def arun(
        self,
        *args: Any,
        model: str | Backend | None = None,
        sampling: SamplingParams | None = None,
        engine: EngineName | None = None,
        adapter: str = "",
        namespace: str = "",
        priority: int = 0,
        **kwargs: Any,
    ) -> State:
        """`run` without blocking the event loop; cancelling the task cancels the program."""
        state = self._new_state(model, _options(sampling, engine, adapter, namespace, priority))
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()

        def settle(error: BaseException | None) -> None:
            if over.done():
                return
            if error is None:
                over.set_result(None)
            else:
                over.set_exception(error)

        def work() -> None:
            error: BaseException | None = None
            try:
                self._execute(state, args, kwargs)
            except BaseException as exc:
                error = exc
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, error)

        # A thread of its own: asyncio's pool is small and would make programs queue for a thread
        # while the engine has room for them.
        threading.Thread(target=work, name=f"treegram-{self.name}", daemon=True).start()
        try:
            await over
        except asyncio.CancelledError:
            state.cancel()
            raise
        return state

    def run_batch(
        self,
        rows: Iterable[object],
        *,
        model: str | Backend | None = None,
        sampling: SamplingParams | None = None,
        engine: EngineName | None = None,
        adapter: str = "",
        namespace: str = "",
        priority: int = 0,
        num_threads: int | None = None,
        progress: bool | None = None,
    ) -> list[State]:
        """Runs the program once per row; the states come back in the order of the rows.

        A row is a mapping (keyword arguments), a tuple or list (positional arguments) or any other
        value (the one argument). A row that fails is a state with `error` set, which raises it on
        reading; the others still run.

        Args:
            num_threads: how many rows run at once; None means all, at most 64.
            progress: whether to show a progress bar; None shows it where stderr is a terminal.

        Raises BatchInterrupted on Ctrl-C: the running rows are cancelled, the finished ones kept.
        """
        backend = resolve_model(model)
        options = _options(sampling, engine, adapter, namespace, priority)
        rows = list(batch.checked_rows(rows))
        self._orders.of(adapter, namespace).foresee(rows)
        return batch.run(
            rows,
            new_state=lambda: self._new_state(backend, options),
            run_row=self._run_row,
            num_threads=num_threads,
            progress=progress,
            description=self.name,
        )

    def iter_batch(
        self,
        rows: Iterable[object],
        *,
        model: str | Backend | None = None,
        sampling: SamplingParams | None = None,
        engine: EngineName | None = None,
        adapter: str = "",
        namespace: str = "",
        priority: int = 0,
        num_threads: int | None = None,
        progress: bool | None = None,
    ) -> Iterator[tuple[int, State]]:
        """Like `run_batch`, giving (row number, state) in the order in which rows finish.

        `rows` may be a generator: it is read in the caller's thread, at most `num_threads` ahead of
        the results taken. Closing the iterator cancels the rows that are running.
        """
        backend = resolve_model(model)
        options = _options(sampling, engine, adapter, namespace, priority)
        return batch.iterate(
            rows,
            new_state=lambda: self._new_state(backend, options),
            run_row=self._run_row,
            num_threads=num_threads,
            progress=progress,
            description=self.name,
        )

    def bind(self, **arguments: object) -> Program:
        """This program with some arguments fixed. Raises ProgramError for an unknown name."""
        return Program(self.fn, self._parameters.bound_with(arguments))

    def cache(
        self,
        *args: Any,
        model: str | Backend | None = None,
        adapter: str = "",
        namespace: str = "",
        **kwargs: Any,
    ) -> PinnedPrefix:
        """Evaluates the part of the prompt that all rows share and pins it in the model's cache.

        The body runs up to its first generation or branch, or the first use of an argument that is
        neither given here nor has a default. What it has said by then is never evicted until
        `unpin()`. Calling this again with the same prefix evaluates nothing, and the prefix is kept
        until each of the results was let go of. It is for runs of that `adapter` and `namespace`.

        Raises ProgramError if that is nothing, or for a backend that keeps no prefixes, and
        ParameterError if it does not fit into host memory beside what is pinned already.
        """
        backend = resolve_model(model)
        options = RunOptions(adapter=adapter, namespace=namespace)
        state = PrefixState(Execution(backend, self.name, options))
        given = self._parameters.given_so_far(args, kwargs)
        given |= {name: Unknown(state) for name in self._parameters.missing(given)}
        prompt = state.prefix(lambda: self._invoke(state, given))
        return pin_prefix(backend, self.name, prompt, options)

    def order_report(self) -> OrderReport:
        """What `tg.unordered` has saved in this program's runs so far."""
        return self._orders.report()

    def _new_state(self, model: str | Backend | None, options: RunOptions) -> State:
        orders = self._orders.of(options.adapter, options.namespace)
        return State(Execution(resolve_model(model), self.name, options, orders))

    def _run_row(self, state: State, row: object) -> None:
        if isinstance(row, Mapping):
            self._execute(state, (), {str(name): value for name, value in row.items()})
        elif isinstance(row, (tuple, list)):
            self._execute(state, tuple(row), {})
        else:
            self._execute(state, (row,), {})

    def _call(self, state: State, args: tuple[object, ...], kwargs: Mapping[str, object]) -> object:
        return self._invoke(state, self._parameters.given(args, kwargs))

    def _invoke(self, state: State, given: Mapping[str, object]) -> object:
        call = self._parameters.call(given)
        return self.fn(state, *call.args, **call.kwargs)

    def _execute(
        self, state: State, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> None:
        """Runs the body, waits for all its branches, raises the first error."""
        branch, execution = state._branch, state._execution
        try:
            state.value = self._call(state, args, kwargs)
            if (role := branch.roles.open_role) is not None:
                raise ProgramError(f"{role} message begun in {self.name!r} and never ended")
            execution.wait(lambda: execution.pending == 0 or execution.unseen_failure() is not None)
            branch.check()
            if (failed := execution.unseen_failure()) is not None:
                failed.check()
        except BaseException as error:
            self._note(error)
            branch.fail(error)
            execution.cancel(f"program {self.name!r} failed: {error!r:.200}")
            raise
        execution.finish()

    def _note(self, error: BaseException) -> None:
        """Notes the program's line, if the error comes from its own file."""
        code = getattr(inspect.unwrap(self.fn), "__code__", None)
        where: Where | None = None
        trace = error.__traceback__
        while trace is not None:
            if code is not None and trace.tb_frame.f_code.co_filename == code.co_filename:
                where = Where(code.co_filename, trace.tb_lineno)
            trace = trace.tb_next
        if where is not None:
            note_line(error, where, self.name)


def _options(
    sampling: SamplingParams | None,
    engine: EngineName | None,
    adapter: str,
    namespace: str,
    priority: int,
) -> RunOptions:
    """The options that the arguments of a run say. Raises ParameterError."""
    return RunOptions(
        SamplingParams() if sampling is None else sampling,
        "treegram" if engine is None else engine,
        adapter,
        namespace,
        priority,
    )
