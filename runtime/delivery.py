"""What becomes of logits: tokens drawn, texts scored, drafts cut to what was right.

Nothing here raises: what goes wrong with one request is its `error`, and the engine ends it.
"""

from __future__ import annotations

from ..radix_cache.cache import RadixCache
from ..radix_cache.prefix_cache import PrefixCache
from ..radix_cache.tree import as_token_array, common_prefix
from .base import Decoder, Logits
from .kept_logits import KeptLogits, prefix_digest
from .request import EngineRequest
from .slices import Slice
from .speculation import Speculation
from .tally import Tally


class Delivery:
    """Hands requests the logits that they wait for. Owned by the engine's thread.

    Args:
        decoder: whose logits.
        cache: learns what was evaluated of a prompt, and which drafted tokens are none.
        kept: logits at branch points.
        tally: counts what had to be evaluated.
        speculation: learns how its drafts fared; None where there are none.
    """

    def __init__(
        self,
        decoder: Decoder,
        cache: PrefixCache,
        kept: KeptLogits,
        tally: Tally,
        *,
        speculation: Speculation | None = None,
    ) -> None:
        self._decoder = decoder
        self._cache = cache
        self._kept = kept
        self._tally = tally
        self._speculation = speculation

    def known(self, request: EngineRequest) -> None:
        """Hands a request that waits the logits that are known behind its prompt.

        It may be finished then without a single token evaluated.
        """
        try:
            while request.branch and self._goes_on(request):
                logits = self._kept.get(request.branch)
                if logits is None:
                    break
                request.was_known = True
                if request.generation is not None:
                    self._draw(request, logits)
                else:
                    self._score(request, request.limit, logits)
        except Exception as error:
            request.error = error

    def computed(self, piece: Slice) -> None:
        """Hands requests the logits of their share of the batch, and commits their prefill."""
        request = piece.request
        assert request.lease is not None
        if piece.is_drawn:
            stop = piece.stop  # of the text before anything is drawn
            for other in piece.others:
                assert isinstance(self._cache, RadixCache)
                assert other.lease is not None
                right = self._draw_along(piece, other)
                self._cache.share(request.lease, other.lease, stop + right)
            right = self._draw_along(piece, request)
            if self._speculation is not None and piece.draft:
                self._speculation.learn(request, piece.draft, right)
            self._cache.truncate(request.lease, stop + right)
        elif request.generation is None:
            self._score_along(piece)
        if piece.start < request.prefill_tokens and not request.is_finished:
            is_prompt = request.computed <= request.prefill_tokens
            tokens = request.prefill if is_prompt else request.tokens
            self._cache.commit(request.lease, tokens[: request.computed])

    def _draw_along(self, piece: Slice, request: EngineRequest) -> int:
        """Draws behind a request's own tokens, and on behind the slice's draft while it is right.

        Returns how many drafted tokens were right.
        """
        draft = piece.draft.tokens
        right, behind = 0, piece.stop
        goes_on = True
        while goes_on:
            behind = len(request.tokens)
            try:
                new = self._draw(request, self._decoder.logits(piece.last + right))
            except Exception as error:
                request.error = error
                break
            rest = draft[right:]
            agreed = common_prefix(as_token_array(new), as_token_array(rest)) if rest else 0
            right += agreed
            goes_on = agreed == len(new) and self._goes_on(request)
        if request.is_finished and request.error is None:
            # the last tokens need no evaluation: nothing comes after them
            self._tally.need(request.tokens[:behind], request.namespace)
        return right

    def _score_along(self, piece: Slice) -> None:
        request = piece.request
        try:
            for position in range(max(piece.start, request.limit), piece.stop):
                self._score(
                    request, position, self._decoder.logits(piece.at + position - piece.start)
                )
        except Exception as error:
            request.error = error

    def _draw(self, request: EngineRequest, logits: Logits) -> list[int]:
        """Draws one token, with what is forced after it; returns them.

        Logits are kept as long as the text only spells what was decided before the first draw: what
        healing backed up is a part of the prompt.
        """
        generation = request.generation
        assert generation is not None
        opened = generation.open_tokens() if request.branch else ()
        self._keep(request, logits)
        new = generation.take(logits)
        request.tokens.extend(new)
        request.limit = len(request.tokens) - 1
        if new and list(opened[: len(new)]) == new:
            request.branch = prefix_digest(as_token_array(request.tokens), request.namespace)
        return new

    def _goes_on(self, request: EngineRequest) -> bool:
        """Whether a request that had a step of its own for each token would have another one."""
        if request.is_finished or request.is_cancelled:
            return False
        return request.sinks is None or len(request.tokens) < self._decoder.n_cells

    def _score(self, request: EngineRequest, position: int, logits: Logits) -> None:
        self._keep(request, logits)
        request.limit = position + 1
        if request.on_logits is not None:
            request.on_logits(request.limit - request.prompt_stop, logits)

    def _keep(self, request: EngineRequest, logits: Logits) -> None:
        if request.branch:
            self._kept.put(request.branch, logits)
            request.branch = b""
