"""One request's generation: draws tokens, follows the constraint, ends at stops and limits.

Knows nothing of the KV cache or of other requests: the engine hands it logits and appends the
tokens it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..lang.base import (
    FinishReason,
    Generated,
    GenRequest,
    GenResult,
    Span,
    Text,
    TokenLogprob,
    Usage,
)
from ..lang.confidence import Decision
from .base import Logits, Matcher, Vocabulary
from .decision import odds
from .sampler import Draw, Sampler
from .text import TextStream


class Generation:
    """State of one `GenRequest` between its first and last token.

    Args:
        request: what to generate.
        vocabulary: pieces and end-of-generation tokens of the model.
        matcher: the constraint (and healing prefix), or None.
        prompt: token ids before the generation, for the repetition penalty.
        prefix: text backed up by token healing; the first tokens respell it, the result omits it.
        on_text: receives text deltas.
    """

    def __init__(
        self,
        request: GenRequest,
        vocabulary: Vocabulary,
        matcher: Matcher | None = None,
        prompt: Sequence[int] = (),
        prefix: str = "",
        on_text: Callable[[str], None] | None = None,
    ) -> None:
        self._request = request
        self._vocabulary = vocabulary
        # a constraint's control tokens are a part of its text; in free text they are none
        self._controls = {} if request.grammar is None else vocabulary.controls
        self._matcher = matcher
        self._sampler = Sampler(request.params, prompt)
        self._stream = TextStream(request.stop, request.stop_regex)
        self._prefix = prefix
        self._skip_bytes = len(prefix.encode())
        self._on_text = on_text
        self._logprobs: list[TokenLogprob] | None = None
        if request.params.logprobs is not None:
            self._logprobs = []
        self._decisions: list[Decision] | None = [] if request.confidence else None
        self.tokens: list[int] = []
        self._spelled = 0  # bytes, the healed prefix included
        self._counted = 0
        self.finish_reason: FinishReason | None = None
        self._stopped_at: str | int | None = None

    def start(self) -> list[int]:
        """Tokens that are forced before anything was drawn. May already finish the generation."""
        if self._request.max_tokens == 0:
            self._finish("length")
            return []
        return self._forced()

    def take(self, logits: Logits) -> list[int]:
        """Draws from float32[n_vocab] logits; returns the drawn token and those forced after it.

        Empty when the generation ended on an end token. Sets `finish_reason` when it ended.
        """
        banned = self._banned()
        draw = self._sampler.draw(logits, self._matcher, banned)
        token = draw.token
        if self._decisions is not None:
            self._decisions.append(self._decision(logits, banned, token))
        if self._ends(token):
            text = self._vocabulary.controls.get(token)
            self._stopped_at = text if text in self._request.stop else token
            self._finish("stop")
            return []
        if self._matcher is not None:
            self._matcher.advance(token)
        new = self._append([token], draw)
        return new if self.finish_reason is not None else new + self._forced()

    def open_tokens(self) -> Sequence[int]:
        """Tokens that would spell decided text which no token spells yet: likely to be drawn."""
        return () if self._matcher is None else self._matcher.open_tokens()

    @property
    def tokens_left(self) -> int:
        """How many tokens it may still have."""
        return self._request.max_tokens - self._counted

    def draftable(self, guess: Sequence[int]) -> Sequence[int]:
        """The beginning of a guess at the next tokens that can be drawn without ending the text."""
        if self._matcher is not None:
            guess = guess[: self._matcher.legal_prefix(guess)]
        room, skip_bytes = self.tokens_left - 1, self._skip_bytes
        for at, token in enumerate(guess):
            if token < 0 or token in self._vocabulary.eog:  # an image, or the end
                return guess[:at]
            size = len(self._piece(token))
            is_healed = 0 < skip_bytes >= size
            if not is_healed and room <= 0:
                return guess[:at]
            skip_bytes = max(skip_bytes - size, 0)
            room -= not is_healed
        return guess

    def _decision(self, logits: Logits, banned: Sequence[int], token: int) -> Decision:
        mask = None if self._matcher is None else self._matcher.mask()
        probability, runner_up = odds(logits, mask, banned, token)
        start = self._spelled - len(self._prefix.encode())
        size = len(self._piece(token))
        return Decision(start, start + size, probability, runner_up)

    def _ends(self, token: int) -> bool:
        """Whether a drawn token ends the text; a stop token only where the constraint accepts.

        A stop text may be the text of a control token, which then ends the text like the text.
        """
        if token in self._vocabulary.eog:
            return True
        is_stop_text = self._vocabulary.controls.get(token) in self._request.stop
        if not is_stop_text and token not in self._request.stop_token_ids:
            return False
        return self._matcher is None or self._matcher.is_accepting

    def _forced(self) -> list[int]:
        if self._matcher is None:
            return []
        new = self._append(self._matcher.forced())
        if self.finish_reason is None and self._matcher.is_done:
            self._finish("constraint")
        return new

    def _append(self, tokens: Sequence[int], draw: Draw | None = None) -> list[int]:
        """Takes tokens until a stop text or max_tokens ends it; returns those taken."""
        new: list[int] = []
        for token in tokens:
            piece = self._piece(token)
            is_healed = self._skip_bytes > 0 and len(piece) <= self._skip_bytes
            new.append(token)
            self.tokens.append(token)
            self._spelled += len(piece)
            if not is_healed:
                self._count(token, piece, draw)
            self._push(piece)
            if self._stream.stop_matched is not None:
                self._finish("stop")
                break
            if not is_healed and self._counted >= self._request.max_tokens:
                whole = len(new) == len(tokens) and self._matcher and self._matcher.is_done
                self._finish("constraint" if whole else "length")
                break
        return new

    def _count(self, token: int, piece: bytes, draw: Draw | None) -> None:
        """Notes a token of the result; one that only respells the prompt is none."""
        self._counted += 1
        self._sampler.saw(token)
        if self._logprobs is not None:
            logprob = draw.logprob if draw else 0.0  # nothing else was possible
            top = tuple((t, self._piece(t), p) for t, p in draw.top) if draw else ()
            self._logprobs.append(TokenLogprob(token, piece, logprob, top))

    def _piece(self, token: int) -> bytes:
        """The token as the text has it."""
        return self._vocabulary.pieces[token] or self._controls.get(token, "").encode()

    def _push(self, piece: bytes) -> None:
        skipped = min(self._skip_bytes, len(piece))
        self._skip_bytes -= skipped
        self._emit(self._stream.push(piece[skipped:]))

    def _banned(self) -> Sequence[int]:
        request = self._request
        eog = tuple(self._vocabulary.eog)
        if self._counted < request.min_tokens:
            return (*eog, *request.stop_token_ids)
        return eog if request.ignore_eos else ()

    def _finish(self, reason: FinishReason) -> None:
        self._emit(self._stream.finish())
        if self._stream.stop_matched is not None:
            reason = "stop"
        self.finish_reason = reason

    def _emit(self, text: str) -> None:
        if text and self._on_text is not None:
            self._on_text(text)

    def cut_short(self) -> None:
        """Ends the generation with `finish_reason` "length": the context is full."""
        self._finish("length")

    def result(self, prompt_tokens: int, cached_tokens: int, dropped_tokens: int = 0) -> GenResult:
        """The finished generation."""
        text = self._stream.text
        logprobs = None if self._logprobs is None else tuple(self._logprobs)
        decisions = None if self._decisions is None else tuple(self._decisions)
        return GenResult(
            text=text,
            spans=self._spans(text),
            finish_reason=self.finish_reason or "length",
            usage=Usage(prompt_tokens, cached_tokens, self._counted),
            stop_matched=self._stream.stop_matched or self._stopped_at,
            logprobs=logprobs,
            decisions=decisions,
            dropped_tokens=dropped_tokens,
        )

    def _spans(self, text: str) -> tuple[Span, ...]:
        """The text as the tokens that were generated, as far as whole tokens spell it."""
        wanted = (self._prefix + text).encode()
        size = 0
        kept: list[int] = []
        for token in self.tokens:
            piece = self._piece(token)
            if wanted[size : size + len(piece)] != piece:
                break
            size += len(piece)
            kept.append(token)
        while True:
            spelled = wanted[:size]
            try:
                head = spelled.decode()
            except UnicodeDecodeError:  # the cut fell inside a character
                size -= len(self._piece(kept.pop()))
                continue
            break
        if len(head) < len(self._prefix):
            return (Text(text),) if text else ()
        tail = text[len(head) - len(self._prefix) :]
        spans: tuple[Span, ...] = ()
        if kept:
            spans = (Generated(head[len(self._prefix) :], tuple(kept), self._prefix),)
        return (*spans, Text(tail)) if tail else spans
