"""Measures two versions of a model's weights against each other: speed, and how far they agree.

Run in a process of its own, because what is measured here has not been proved to load. Agreement
needs a scale: even the original does not agree with itself, because the size of a batch alone
changes the order of sums (on the embedded model the likeliest token differs at 4% of positions). So
the original is also compared with itself in small batches, and the new weights are judged by that:
there the Q8_0 copy is 1.5 times as far from the original, Q5_0 20 times and Q4_0 70 times.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..lang.errors import ModelError
from .base import Batch
from .llama import LlamaModel, requantize
from .llama_context import LlamaContext
from .probe_text import PASSAGES

PASSAGE_TOKENS = 20
CHUNK = 128
SMALL_CHUNK = 32
STREAMS = 8
STEPS = 5
MIN_ROUNDS, MAX_ROUNDS = 2, 6
MIN_GAIN = 1.25
MAX_LOSS = 0.9
DRIFT_FACTOR = 3.0
FREE_DIVERGENCE = 0.004
"""Nats. llama.cpp's tables (tools/perplexity/README.md, an 8B model against F16) have 0.0014 for
Q8_0 and 0.0055 for Q6_K."""
FREE_DISAGREEMENT = 0.05
UNUSABLE = 3
"""Exit code for a file that llama.cpp refuses; the reason is on standard error."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens per second: of a prompt, of one decoding request, of `STREAMS` of them together."""

    prefill: float
    decode: float
    decode_many: float

    def over(self, other: Speed) -> Speed:
        """The same as factors of `other`."""
        return Speed(
            self.prefill / other.prefill,
            self.decode / other.decode,
            self.decode_many / other.decode_many,
        )

    def best(self, other: Speed) -> Speed:
        """The faster of each: what else runs on the machine only ever slows a measurement."""
        return Speed(
            max(self.prefill, other.prefill),
            max(self.decode, other.decode),
            max(self.decode_many, other.decode_many),
        )

    @property
    def is_gain(self) -> bool:
        """Whether these factors help prompts or batches clearly, and nobody pays for that."""
        pays = max(self.prefill, self.decode_many) >= MIN_GAIN
        return pays and min(self.prefill, self.decode, self.decode_many) >= MAX_LOSS


@dataclass(frozen=True, slots=True)
class Difference:
    """Between two next-token distributions, over all positions of the text.

    Attributes:
        divergence: mean Kullback-Leibler divergence from the first to the second, in nats.
        disagreement: share of positions where the likeliest tokens differ.
    """

    divergence: float
    disagreement: float

    def is_like(self, drift: Difference) -> bool:
        """Whether this is of the size of `drift`, or next to nothing."""
        return self.divergence <= max(
            DRIFT_FACTOR * drift.divergence, FREE_DIVERGENCE
        ) and self.disagreement <= max(DRIFT_FACTOR * drift.disagreement, FREE_DISAGREEMENT)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions of one model's weights.

    Attributes:
        gain: speed of the new weights as factors of the original's; None (not measured) where their
            answers are others.
        change: the new weights against the original.
        drift: the original against itself, evaluated in small batches.
    """

    gain: Speed | None
    change: Difference
    drift: Difference


def compare(original: LlamaModel, prepared: LlamaModel, n_threads: int) -> Comparison:
    """Evaluates the text, then times prompts and decode steps in turns: seconds to minutes."""
    tokens = _tokens(original)
    with (
        closing(_context(original, n_threads)) as old,
        closing(_context(prepared, n_threads)) as new,
    ):
        change, drift = _differences(old, new, tokens)
        gain = _gain(old, new, tokens) if change.is_like(drift) else None
        return Comparison(gain, change, drift)


def _context(model: LlamaModel, n_threads: int) -> LlamaContext:
    return LlamaContext(model, n_ctx=1024, n_batch=CHUNK, n_seqs=STREAMS, n_threads=n_threads)


def _tokens(model: LlamaModel) -> NDArray[np.int32]:
    start = [model.bos] if model.adds_bos else []
    passages = [model.encode(text)[:PASSAGE_TOKENS] for text in PASSAGES]
    return np.asarray(sum(passages, start), np.int32)


# --- agreement ---------------------------------------------------------------------------------


def _differences(
    original: LlamaContext, prepared: LlamaContext, tokens: NDArray[np.int32]
) -> tuple[Difference, Difference]:
    """Of the new weights, and of the original from itself in small batches."""
    change, drift = _Tally(), _Tally()
    for start in range(0, len(tokens), CHUNK):
        chunk = tokens[start : start + CHUNK]
        wanted = _log_probabilities(original, chunk, start, seq=0)
        change.add(wanted, _log_probabilities(prepared, chunk, start, seq=0))
        for i in range(0, len(chunk), SMALL_CHUNK):
            small = chunk[i : i + SMALL_CHUNK]
            again = _log_probabilities(original, small, start + i, seq=1)
            drift.add(wanted[i : i + SMALL_CHUNK], again)
    return change.difference, drift.difference


def _log_probabilities(
    context: LlamaContext, tokens: NDArray[np.int32], start: int, seq: int
) -> NDArray[np.float32]:
    """Of every next token behind each of `tokens`, float32[n, n_vocab]."""
    n = len(tokens)
    positions = np.arange(start, start + n, dtype=np.int32)
    context.decode(Batch(tokens, positions, np.full(n, seq, np.int32), np.ones(n, np.bool_)))
    rows = np.stack([context.logits(i) for i in range(n)])
    rows -= rows.max(axis=1, keepdims=True)
    rows -= np.log(np.exp(rows).sum(axis=1, dtype=np.float64, keepdims=True)).astype(np.float32)
    return rows


class _Tally:
    """Adds up positions."""

    def __init__(self) -> None:
        self._n = 0
        self._divergence = 0.0
        self._disagreed = 0

    def add(self, one: NDArray[np.float32], other: NDArray[np.float32]) -> None:
        self._n += len(one)
        self._divergence += float((np.exp(one) * (one - other)).sum(dtype=np.float64))
        self._disagreed += int((one.argmax(axis=1) != other.argmax(axis=1)).sum())

    @property
    def difference(self) -> Difference:
        return Difference(self._divergence / self._n, self._disagreed / self._n)


# --- speed -------------------------------------------------------------------------------------


def _gain(original: LlamaContext, prepared: LlamaContext, tokens: NDArray[np.int32]) -> Speed:
    """In turns, so that the machine's load meets both; more rounds before a gain is denied."""
    old, new = _speed(original, tokens), _speed(prepared, tokens)
    for done in range(1, MAX_ROUNDS):
        if done >= MIN_ROUNDS and new.over(old).is_gain:
            break
        old, new = old.best(_speed(original, tokens)), new.best(_speed(prepared, tokens))
    return new.over(old)


def _speed(context: LlamaContext, tokens: NDArray[np.int32]) -> Speed:
    streams = min(STREAMS, context.n_seqs)
    prompt = np.resize(tokens, CHUNK)
    context.clear()
    n = len(prompt)
    last = np.arange(n) == n - 1
    prefill = _seconds(context, Batch(prompt, _range(n), np.zeros(n, np.int32), last))
    for seq in range(1, streams):
        context.copy(0, seq, 0, n)
    many = min(_step(context, tokens, n + i, streams) for i in range(STEPS))
    one = min(_step(context, tokens, n + STEPS + i, 1) for i in range(STEPS))
    return Speed(n / prefill, 1 / one, streams / many)


def _step(context: LlamaContext, tokens: NDArray[np.int32], position: int, streams: int) -> float:
    wanted = np.ones(streams, np.bool_)
    at = np.full(streams, position, np.int32)
    return _seconds(context, Batch(np.resize(tokens, streams), at, _range(streams), wanted))


def _seconds(context: LlamaContext, batch: Batch) -> float:
    started = time.perf_counter()
    context.decode(batch)
    context.logits(len(batch.tokens) - 1)
    return time.perf_counter() - started


def _range(n: int) -> NDArray[np.int32]:
    return np.arange(n, dtype=np.int32)


# --- the process -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """See `requantize`; the copy is left at `target`."""

    source: str
    target: str
    kept: dict[str, int]
    n_threads: int


def main() -> None:
    """Writes the weights that standard input asks for, and prints how they compare.

    Exits with `UNUSABLE` where the model cannot be.
    """
    request = ProbeRequest(**json.load(sys.stdin))
    source, target = Path(request.source), Path(request.target)
    try:
        requantize(source, target, request.kept, request.n_threads)
        original = LlamaModel(source, n_gpu_layers=0)
        if original.unsupported:
            raise ModelError(original.unsupported)
        prepared = LlamaModel(target, n_gpu_layers=0)
        comparison = compare(original, prepared, request.n_threads)
    except ModelError as error:
        print(error, file=sys.stderr)
        sys.exit(UNUSABLE)
    print(json.dumps(asdict(comparison)))


def comparison_from(printed: bytes) -> Comparison:
    """What `main` printed last. Raises ValueError, LookupError or TypeError if that is none."""
    found = json.loads(printed.splitlines()[-1])
    gain = None if found["gain"] is None else Speed(**found["gain"])
    return Comparison(gain, Difference(**found["change"]), Difference(**found["drift"]))
