"""What is done with a new request before it waits: its prompt respelled, its generation begun."""

from __future__ import annotations

from ..radix_cache.prefix_cache import PrefixCache
from ..radix_cache.respell import Pieces
from .endings import Endings
from .overflow import shift
from .request import EngineRequest
from .scheduler import Scheduler


class Intake:
    """Makes requests ready for admission. Owned by the engine's thread.

    Args:
        n_cells: the context's size, in tokens.
        cache: knows what was generated before, and is told what will be asked for.
        scheduler: where requests wait.
        endings: ends those that are over before they began.
        pieces: the vocabulary's bytes; None leaves every prompt as it is spelled.
    """

    def __init__(
        self,
        n_cells: int,
        cache: PrefixCache,
        scheduler: Scheduler,
        endings: Endings,
        pieces: Pieces | None,
    ) -> None:
        self._n_cells = n_cells
        self._cache = cache
        self._scheduler = scheduler
        self._endings = endings
        self._pieces = pieces

    def take(self, request: EngineRequest) -> None:
        """Lets a request wait, or ends it where nothing is to be evaluated or the context is full.

        Raises whatever beginning its generation raises.
        """
        self._respell(request)
        request.prompt_tokens = len(request.tokens)
        if request.generation is not None:
            request.tokens.extend(request.generation.start())
            if request.is_finished:
                self._endings.end(request, None)
                return
            shift(request, self._n_cells)
            if len(request.tokens) >= self._n_cells:
                self._endings.end_full(request)
                return
        request.prepare()
        self._cache.expect(request.prefill, request.namespace)
        self._scheduler.waiting.add(request)

    def _respell(self, request: EngineRequest) -> None:
        """Gives text of the prompt that was generated before the tokens it was generated as."""
        if self._pieces is None:
            return
        size = request.prompt_stop
        prompt = self._cache.respelled(request.tokens[:size], self._pieces, request.namespace)
        grown = len(prompt) - size
        if len(request.tokens) + grown < self._n_cells:
            request.tokens[:size] = prompt.tolist()
            request.limit += grown
