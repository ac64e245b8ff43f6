"""The embedded model's decode step, which the cost of constraints is a share of."""

from __future__ import annotations

import treegram as tg
from treegram.runtime.model_options import ModelOptions
from treegram.runtime.runtime import Runtime

TOKENS, RUNS = 16, 8


@tg.function
def write(s: tg.State, max_tokens: int) -> None:
    """Free text of exactly `max_tokens` tokens."""
    s += "The quick brown fox jumps over the lazy dog, and then it"
    s += tg.gen("text", max_tokens=max_tokens, ignore_eos=True)


def decode_step_s(threads: int) -> float:
    """Seconds of one `llama_decode` at batch 1: of a few short free texts, the fastest one's mean.

    The fastest, because another load on the machine would flatter everything that is measured
    against it.
    """
    with Runtime(
        options=ModelOptions(n_threads=threads, prepared_bytes=0, speculate=False)
    ) as runtime:
        model = runtime.model()
        write.run(TOKENS, model=model)
        means = []
        for _ in range(RUNS):
            before = model.stats()
            write.run(TOKENS, model=model)
            after = model.stats()
            steps = after.steps - before.steps
            means.append((after.decode_seconds - before.decode_seconds) / steps)
    return min(means)
