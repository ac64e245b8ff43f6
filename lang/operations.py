"""The operations that a body's appending and assigning become."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from .base import Handle, Prompt, Request, Result
from .context import Execution
from .conversation import Entry, Piece, render
from .expr import Gen, Select
from .interpreter import Branch, Finish, LiveText, Op
from .variables import Assigned, Output


class Append(Op):
    """Adds text or a role mark."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry

    def start(self, branch: Branch, finish: Finish) -> None:
        branch.append(self._entry)
        finish(None)


class Assign(Op):
    """Sets a variable."""

    def __init__(self, name: str, value: object) -> None:
        self.defines = (name,)
        self._variable = Assigned(value)

    def start(self, branch: Branch, finish: Finish) -> None:
        with branch.execution.lock:
            branch.variables[self.defines[0]] = self._variable
        finish(None)


class OpenScope(Op):
    """Marks where a `var_scope` begins."""

    def __init__(self) -> None:
        self.index = 0

    def start(self, branch: Branch, finish: Finish) -> None:
        self.index = len(branch.log)
        finish(None)


class CloseScope(Op):
    """Sets a variable to the text since an OpenScope."""

    def __init__(self, name: str, opened: OpenScope) -> None:
        self.defines = (name,)
        self._opened = opened

    def start(self, branch: Branch, finish: Finish) -> None:
        with branch.execution.lock:
            text = "".join(e.text for e in branch.log[self._opened.index :] if isinstance(e, Piece))
            branch.variables[self.defines[0]] = Assigned(text)
        finish(None)


class Generate(Op):
    """Runs the requests of a `gen` or `select`, then stores its variable and its text."""

    def __init__(self, expr: Gen | Select, name: str) -> None:
        self.defines = (name,)
        self._expr = expr
        self._name = name

    def start(self, branch: Branch, finish: Finish) -> None:
        execution = branch.execution
        requests = self._requests(render(branch.log, execution.backend), execution)
        live = LiveText(self._name)
        branch.set_live(live)
        results: list[Result | None] = [None] * len(requests)
        handles: list[Handle] = []
        has_failed = False

        def on_text(delta: str) -> None:
            with execution.lock:
                live.parts.append(delta)
                execution.text_changed.notify_all()

        def on_done(index: int, result: Result | None, error: BaseException | None) -> None:
            nonlocal has_failed
            if error is not None:
                has_failed = True
                finish(error)
                for handle in list(handles):
                    handle.cancel()
                return
            with execution.lock:
                results[index] = result
                complete = [r for r in results if r is not None]
                if len(complete) < len(results):
                    return
                self._store(branch, complete)
            finish(None)

        for index, request in enumerate(requests):
            if has_failed:
                return
            try:
                handle = execution.submit(
                    request, on_text if index == 0 else None, partial(on_done, index)
                )
            except Exception as exc:
                on_done(index, None, exc)
                return
            handles.append(handle)
            if has_failed:
                handle.cancel()

    def _requests(self, prompt: Prompt, execution: Execution) -> Sequence[Request]:
        if isinstance(self._expr, Gen):
            return self._expr.requests(prompt, execution.options)
        return [self._expr.request(prompt, execution.options)]

    def _store(self, branch: Branch, results: Sequence[Result]) -> None:
        expr = self._expr
        constraint = expr.constraint if isinstance(expr, Gen) else None
        is_list = isinstance(expr, Gen) and expr.n > 1
        branch.variables[self._name] = Output(self._name, results, constraint, is_list)
        for result in results:
            branch.count(result.usage)
        branch.live = None
        branch.append(Piece(results[0].spans, self._name))
