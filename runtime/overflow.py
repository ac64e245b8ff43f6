"""What stays of a text that outgrows the context, where its request says `overflow="shift"`.

    text       sinks | dropped, oldest first | the rest
    context    sinks | the rest              | room for half a context more

Models lean on the first tokens whatever these say, so some of them stay as attention sinks
(StreamingLLM, arXiv:2309.17453). The rest is evaluated anew behind them, as a prompt of its own: KV
is not moved to other positions, because its cells are shared, and it knows of what was dropped. So
the model sees exactly the tokens that are left, the cache has them under their own prefix, and the
price is half a context of prefill for half a context of text.

What is dropped depends on the length of the text alone: samples of one prompt, and a conversation
that comes back, meet the same windows in the cache.
"""

from __future__ import annotations

from ..lang.errors import ParameterError
from .endings import Endings
from .request import EngineRequest
from .scheduler import Scheduler
from .tally import Tally


class Overflow:
    """Keeps requests within the context, as each asks for. Owned by the engine's thread.

    Args:
        n_cells: the context's size, in tokens.
        scheduler: whose requests they are.
        tally: counts what a shift makes necessary.
        endings: ends those whose texts may not be shortened.
    """

    def __init__(self, n_cells: int, scheduler: Scheduler, tally: Tally, endings: Endings) -> None:
        self._n_cells = n_cells
        self._scheduler = scheduler
        self._tally = tally
        self._endings = endings

    def shift_running(self) -> bool:
        """Sends those that have outgrown the context back to wait, without their oldest tokens.

        What they have computed stays in the cache, under the tokens that it was computed for.
        Returns whether there were any.
        """
        found = [request for request in self._scheduler.running if self._has_outgrown(request)]
        for request in found:
            self._tally.need(request.tokens[: request.computed], request.namespace)
            self._scheduler.preempt(request)
            self._shift(request)
        return bool(found)

    def settle_blocked(self, *, is_alone: bool) -> None:
        """Shortens or ends who waits and will find no room, by how long the text has become.

        Args:
            is_alone: nothing else holds cells.
        """
        blocked = self._scheduler.blocked
        if blocked is None or (not is_alone and len(blocked.tokens) < self._n_cells):
            return
        if self._has_outgrown(blocked):  # by what was drawn from known logits
            self._shift(blocked)
        else:
            self._scheduler.waiting.remove(blocked)
            self._endings.end_full(blocked)

    def _has_outgrown(self, request: EngineRequest) -> bool:
        return request.sinks is not None and len(request.tokens) >= self._n_cells

    def _shift(self, request: EngineRequest) -> None:
        shift(request, self._n_cells)
        request.prepare()
        self._tally.need(request.tokens, request.namespace)


def shift(request: EngineRequest, n_cells: int) -> None:
    """Drops as many tokens of a request as a context of `n_cells` asks for; none where it fits.

    The request must hold no lease. Raises ParameterError if the sinks take most of the context.
    """
    sinks = request.sinks
    if sinks is None:
        return
    if sinks > n_cells // 2:
        raise ParameterError(
            "sinks", f"expected at most half the context of {n_cells} tokens, got {sinks}"
        )
    whole = len(request.tokens) + request.dropped_tokens
    # a prompt that was respelled in between may be shorter than it was
    more = max(dropped_tokens(whole, sinks, n_cells) - request.dropped_tokens, 0)
    del request.tokens[sinks : sinks + more]
    request.dropped_tokens += more


def dropped_tokens(n_tokens: int, sinks: int, n_cells: int) -> int:
    """How many of `n_tokens` are gone when so many have been said; a cell is left for the next."""
    most = n_cells - 1
    step = (most - sinks) // 2
    return step * -(-max(0, n_tokens - most) // step)
