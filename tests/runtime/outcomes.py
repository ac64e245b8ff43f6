"""Requests to an engine over the fake decoder: how they ended, and how they should have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from treegram.lang.base import GenRequest
from treegram.runtime.base import Vocabulary
from treegram.runtime.engine import Engine
from treegram.runtime.fake import adapted, fake_logits
from treegram.runtime.generation import Generation
from treegram.runtime.request import EngineRequest

N_VOCAB = 32
EOG = 0
VOCABULARY = Vocabulary((b"", *(bytes([96 + i]) for i in range(1, N_VOCAB))), frozenset({EOG}))


class Outcome:
    """A greedy generation, and how it ended: `ended` gets the error, or None.

    `fields` are those of its EngineRequest.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        max_tokens: int = 8,
        *,
        ignore_eos: bool = False,
        **fields: Any,
    ) -> None:
        self.prompt = list(prompt)
        self.asked = GenRequest((), max_tokens=max_tokens, ignore_eos=ignore_eos)
        self.generation = Generation(self.asked, VOCABULARY)
        self.ended: list[BaseException | None] = []
        self.request = EngineRequest(
            list(prompt),
            len(prompt) - 1,
            lambda _, error: self.ended.append(error),
            self.generation,
            **fields,
        )

    @property
    def tokens(self) -> list[int]:
        """What was generated."""
        return self.generation.tokens

    @property
    def expected(self) -> list[int]:
        """As many tokens as were generated, by greedy decoding without cache, batch and engine."""
        return greedy(self.prompt, len(self.tokens), self.read, ignore_eos=self.asked.ignore_eos)

    def read(self, tokens: list[int]) -> list[int]:
        """What a decoder has in its cells where the text is `tokens`."""
        return [adapted(token, self.request.adapter) for token in tokens]


def greedy(
    prompt: Sequence[int],
    n: int,
    read: Callable[[list[int]], list[int]] = list,
    *,
    ignore_eos: bool = False,
) -> list[int]:
    """The `n` likeliest tokens one after the other, or fewer, where the text ends before."""
    tokens = list(prompt)
    while len(tokens) < len(prompt) + n:
        logits = fake_logits(read(tokens), N_VOCAB)
        if ignore_eos:
            logits[EOG] = -9
        token = int(logits.argmax())
        if token == EOG:
            break
        tokens.append(token)
    return tokens[len(prompt) :]


def submit(engine: Engine, prompt: Sequence[int], max_tokens: int = 8, **fields: Any) -> Outcome:
    outcome = Outcome(prompt, max_tokens, **fields)
    engine.submit(outcome.request)
    return outcome


def run(engine: Engine, outcomes: Sequence[Outcome]) -> None:
    """Submits `outcomes` and steps until all of them have ended."""
    for outcome in outcomes:
        engine.submit(outcome.request)
    _step(engine, until=lambda: all(outcome.ended for outcome in outcomes))


def drain(engine: Engine) -> None:
    """Steps until nothing is left to do."""
    _step(engine, until=lambda: not engine.stats().running and not engine.stats().waiting)


def _step(engine: Engine, *, until: Callable[[], bool]) -> None:
    for _ in range(5000):  # a loop that never ends is a bug, not a wait
        if until():
            return
        engine.step()
        engine.cache.check_integrity()
    pytest.fail("the engine did not finish")
