"""A running request as its submitter sees it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from ..lang.base import Handle, Result


class RequestHandle:
    """Implements `lang.base.Handle` over a standard future.

    Args:
        cancel: asks the engine to drop the request; may be called more than once.
    """

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._cancel = cancel
        self._future: Future[Result] = Future()

    def result(self, timeout: float | None = None) -> Result:
        return self._future.result(timeout)

    def add_done_callback(self, callback: Callable[[Handle], None]) -> None:
        self._future.add_done_callback(lambda _: callback(self))

    def cancel(self) -> None:
        if not self._future.done():
            self._cancel()

    def finish(self, result: Callable[[], Result]) -> None:
        """Called by the engine's thread, once; what `result` raises becomes the request's error."""
        try:
            value = result()
        except Exception as error:
            self.fail(error)
        else:
            self._future.set_result(value)

    def fail(self, error: BaseException) -> None:
        """Called by the engine's thread, once."""
        self._future.set_exception(error)
