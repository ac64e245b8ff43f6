"""How requests end: well, cut short where the context is full, cancelled, or with an error.

Each ends once, with one call of its `on_done`; no submitter's failure reaches another's request.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ..lang.errors import ContextOverflowError, EngineError, ParameterError
from ..radix_cache.pins import PinRefused
from ..radix_cache.prefix_cache import PrefixCache
from .base import Decoder
from .request import EngineRequest
from .scheduler import Scheduler
from .speculation import Speculation
from .tally import Tally

LOG = logging.getLogger(__name__)


class Endings:
    """Takes requests out of the engine. Owned by its thread.

    Args:
        decoder: emptied after a failure that leaves its cells unknown.
        cache: keeps what an ended request computed.
        scheduler: whose requests they are.
        tally: counts them.
        speculation: lets go of what it holds for them.
    """

    def __init__(
        self,
        decoder: Decoder,
        cache: PrefixCache,
        scheduler: Scheduler,
        tally: Tally,
        *,
        speculation: Speculation | None = None,
    ) -> None:
        self._decoder = decoder
        self._cache = cache
        self._scheduler = scheduler
        self._tally = tally
        self._speculation = speculation

    def end(self, request: EngineRequest, error: BaseException | None) -> None:
        """Ends a request that is neither waiting nor running (any more)."""
        self._tally.end(request)
        on_done, request.on_done = request.on_done, _ended  # breaks a cycle through the handle
        try:
            on_done(request, error)
        except BaseException:  # one submitter's bug, or sys.exit(), must not stop the others
            LOG.exception("a request's on_done callback raised")
        if self._speculation is not None:
            self._speculation.forget(request)

    def end_full(self, request: EngineRequest) -> None:
        """Ends a request that the whole context cannot hold: cut short, or refused."""
        error: BaseException | None = None
        if request.generation is not None and request.generation.tokens:
            try:
                request.generation.cut_short()
            except Exception as raised:
                error = raised
        else:
            error = ContextOverflowError(len(request.tokens) + 1, self._decoder.n_cells)
        self.end(request, error)

    def retire(self, request: EngineRequest, error: BaseException | None) -> None:
        """Ends a running request, and pins what it computed where it asks for that."""
        if request.pin and error is None:
            error = self._pin(request)
        self._scheduler.retire(request)
        self.end(request, error)

    def retire_full(self, request: EngineRequest) -> None:
        """Ends a running request that fills the whole context."""
        self._scheduler.retire(request)
        self.end_full(request)

    def start_afresh(self, failed: Iterable[EngineRequest], reason: str) -> None:
        """After a fatal decode: fails that batch's requests and requeues the others that run.

        The context is emptied; what was parked or stored is still cached.
        """
        failed_ids = {id(request) for request in failed}
        self._forget_live()
        for request in reversed(self._scheduler.take_running()):
            request.lease = None
            if id(request) in failed_ids:
                self.end(request, EngineError(reason))
            else:
                self._scheduler.waiting.put_back(request)

    def fail_all(
        self,
        new: Iterable[EngineRequest],
        reason: str,
        cause: BaseException | None,
        *,
        is_closing: bool,
    ) -> None:
        """Fails whatever runs or waits, and `new` requests that do neither yet.

        The context is emptied, unless the engine is closing: its cache may be closed then.
        """
        # a step that broke inside admission leaves a request both running and waiting
        requests = dict.fromkeys([*self._scheduler.running, *self._scheduler.waiting, *new])
        self._scheduler.take_running()
        self._scheduler.waiting.clear()
        try:
            if not is_closing:
                self._forget_live()
        finally:
            for request in requests:
                request.lease = None
                error = EngineError(reason)  # each its own: notes of one program are not another's
                error.__cause__ = cause
                self.end(request, error)

    def _pin(self, request: EngineRequest) -> BaseException | None:
        """Pins what a request computed; returns why it could not."""
        assert request.lease is not None
        self._cache.commit(request.lease, request.tokens[: request.computed])
        try:
            self._cache.pin(request.pin, request.lease)
        except PinRefused as refused:
            return ParameterError("host_bytes", str(refused))
        except MemoryError:
            return EngineError(f"no memory to pin {request.pin!r} in; lower host_bytes")
        except EngineError as error:
            return error
        return None

    def _forget_live(self) -> None:
        self._decoder.clear()
        self._cache.forget_live()


def _ended(request: EngineRequest, error: BaseException | None) -> None:
    raise AssertionError("a request ended twice")
