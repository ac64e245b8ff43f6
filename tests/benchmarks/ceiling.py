"""The least time that llama.cpp itself could need for the workload, from its own rates.

Two rates are measured on the same file with nothing around `llama_decode`: `prefill`, tokens per
second of the shared prompt in one batch, and `decode`, tokens per second of B sequences that share
that prompt, one token each per step. With S shared prompt tokens, O own prompt tokens of all rows
and G answer tokens of all rows (the last one of each row is never evaluated, so not counted):

    seconds        = (S + O) / prefill + G / decode
    seconds forced = (S + O + F) / prefill + (G - F) / decode

where F of the G tokens are forced by the schema and so could be evaluated like a prompt: all but
the tokens of the name and the version, the one that ends each of them, and the one that picks the
licence. The second is what an engine approaches that appends forced text.
"""

from __future__ import annotations

from dataclasses import dataclass

from peer import Setup
from rates import Rates, common_prefix
from workload import Workload

BATCH = 16


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Rates in tokens per second, counts in tokens, times in seconds."""

    prefill: float
    decode: float
    batch: int
    shared: int
    own: int
    answers: int
    forced: int

    @property
    def seconds(self) -> float:
        """Shared tokens once, own tokens at the prefill rate, answers at the decode rate."""
        return (self.shared + self.own) / self.prefill + self.answers / self.decode

    @property
    def seconds_forced(self) -> float:
        """The same with forced tokens at the prefill rate."""
        prefilled = self.shared + self.own + self.forced
        return prefilled / self.prefill + (self.answers - self.forced) / self.decode


def measure(setup: Setup, workload: Workload) -> Ceiling:
    """Counts the workload's tokens and measures both rates."""
    with Rates(setup, BATCH) as context:
        whole = [context.tokenize(prompt) for prompt in workload.prompts]
        shared = common_prefix(whole)
        answers = [len(context.tokenize(text)) - 1 for text in workload.expected]
        chosen = [
            len(context.tokenize(row.truth.name)) + len(context.tokenize(row.truth.version)) + 3
            for row in workload.rows
        ]
        prefix = whole[0][:shared]
        batch = min(BATCH, len(whole))
        return Ceiling(
            prefill=context.prefill_rate(prefix),
            decode=context.decode_rate(prefix, batch),
            batch=batch,
            shared=shared,
            own=sum(len(tokens) - shared for tokens in whole),
            answers=sum(answers),
            forced=sum(answers) - sum(chosen),
        )
