"""OpenAI's response objects, as dicts ready for JSON: whole answers and stream chunks."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any, TypeAlias

from ...lang.base import FinishReason, GenResult, TokenLogprob, Usage

Json: TypeAlias = dict[str, Any]

FINISH: dict[FinishReason, str] = {"stop": "stop", "length": "length", "constraint": "stop"}


def usage_json(usage: Usage) -> Json:
    """Token counts; `cached_tokens` is the hit in the radix cache."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def total_usage(results: Sequence[GenResult], n: int) -> Usage:
    """Usage of a request that asked for `n` answers per prompt: each prompt counts once."""
    total = Usage()
    for index, result in enumerate(results):
        usage = result.usage
        if index % n:
            usage = Usage(completion_tokens=usage.completion_tokens)
        total += usage
    return total


class _Shape:
    """What both routes' objects have in common."""

    prefix: str
    whole: str
    chunk: str

    def __init__(self, model: str, include_usage: bool) -> None:
        self._head = {
            "id": f"{self.prefix}-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model,
        }
        self._include_usage = include_usage

    def _whole(self, choices: list[Json], usage: Usage) -> Json:
        return {
            **self._head,
            "object": self.whole,
            "choices": choices,
            "usage": usage_json(usage),
        }

    def _chunk(self, choices: list[Json]) -> Json:
        usage = {"usage": None} if self._include_usage else {}
        return {**self._head, "object": self.chunk, "choices": choices, **usage}

    def usage(self, usage: Usage) -> Json:
        """The stream's last chunk, for `stream_options.include_usage`."""
        return {**self._chunk([]), "usage": usage_json(usage)}


class ChatShape(_Shape):
    """Objects of `/v1/chat/completions`."""

    prefix = "chatcmpl"
    whole = "chat.completion"
    chunk = "chat.completion.chunk"

    def answer(self, results: Sequence[GenResult], usage: Usage) -> Json:
        """The whole answer, one choice per result."""
        return self._whole(
            [
                {
                    "index": index,
                    "message": {"role": "assistant", "content": result.text, "refusal": None},
                    "logprobs": _chat_logprobs(result.logprobs),
                    "finish_reason": FINISH[result.finish_reason],
                }
                for index, result in enumerate(results)
            ],
            usage,
        )

    def first(self, index: int) -> Json:
        """The chunk that opens choice `index`."""
        return self._delta(index, {"role": "assistant", "content": ""})

    def delta(self, index: int, text: str) -> Json:
        """More text of choice `index`."""
        return self._delta(index, {"content": text})

    def last(self, index: int, result: GenResult) -> Json:
        """The end of choice `index`; the log-probabilities of all its tokens come here."""
        return self._delta(index, {}, FINISH[result.finish_reason], _chat_logprobs(result.logprobs))

    def _delta(
        self, index: int, delta: Json, finish: str | None = None, logprobs: Json | None = None
    ) -> Json:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return self._chunk([choice])


class CompletionShape(_Shape):
    """Objects of `/v1/completions`. `echo[i]` is put before the text of choice i."""

    prefix = "cmpl"
    whole = "text_completion"
    chunk = "text_completion"

    def __init__(self, model: str, include_usage: bool, echo: Sequence[str]) -> None:
        super().__init__(model, include_usage)
        self._echo = echo

    def answer(self, results: Sequence[GenResult], usage: Usage) -> Json:
        """The whole answer, one choice per result."""
        return self._whole(
            [
                _completion_choice(
                    index,
                    self._echo[index] + result.text,
                    FINISH[result.finish_reason],
                    _completion_logprobs(result.logprobs),
                )
                for index, result in enumerate(results)
            ],
            usage,
        )

    def first(self, index: int) -> Json:
        """The chunk that opens choice `index`."""
        return self.delta(index, self._echo[index])

    def delta(self, index: int, text: str) -> Json:
        """More text of choice `index`."""
        return self._chunk([_completion_choice(index, text, None, None)])

    def last(self, index: int, result: GenResult) -> Json:
        """The end of choice `index`; the log-probabilities of all its tokens come here."""
        logprobs = _completion_logprobs(result.logprobs)
        return self._chunk([_completion_choice(index, "", FINISH[result.finish_reason], logprobs)])


def _completion_choice(index: int, text: str, finish: str | None, logprobs: Json | None) -> Json:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}


def _chat_logprobs(tokens: Sequence[TokenLogprob] | None) -> Json | None:
    if tokens is None:
        return None
    content = [
        {
            **_chat_token(token.piece, token.logprob),
            "top_logprobs": [_chat_token(piece, logprob) for _, piece, logprob in token.top],
        }
        for token in tokens
    ]
    return {"content": content, "refusal": None}


def _chat_token(piece: bytes, logprob: float) -> Json:
    return {"token": _shown(piece), "logprob": _finite(logprob), "bytes": list(piece)}


def _completion_logprobs(tokens: Sequence[TokenLogprob] | None) -> Json | None:
    if tokens is None:
        return None
    offsets, text = [], ""
    for token in tokens:
        offsets.append(len(text))
        text += _shown(token.piece)
    return {
        "tokens": [_shown(token.piece) for token in tokens],
        "token_logprobs": [_finite(token.logprob) for token in tokens],
        "top_logprobs": [
            {_shown(piece): _finite(logprob) for _, piece, logprob in token.top} for token in tokens
        ],
        "text_offset": offsets,
    }


def _shown(piece: bytes) -> str:
    return piece.decode("utf-8", "replace")


def _finite(logprob: float) -> float:
    """OpenAI writes -9999.0 for a token that has no probability; JSON has no infinity."""
    return max(logprob, -9999.0)
