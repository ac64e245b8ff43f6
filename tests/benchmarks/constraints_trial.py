"""One schema on one engine: compile it cold, then walk every instance through its masks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from constraint_engine import Compiled, Engine, Refused, Walk
from constraints_cases import Case

Verdict: TypeAlias = Literal[
    "pass", "refused", "valid rejected", "invalid accepted", "crash", "too slow"
]

FIRST_MASK_S = 5.0
"""Compiling and the first mask may take this long together."""


@dataclass(slots=True)
class Outcome:
    """What became of one case; times in seconds.

    Attributes:
        verdict: of the whole row, the worst of its instances.
        reason: why it did not pass.
        right, wrong: instances decided as the case says, and otherwise.
        compile_s: from the schema to a constraint bound to the vocabulary.
        first_mask_s: a new walk and its first mask.
        steps_s: one token taken and the mask for the next one, each.
        again_s: masks on a second walk over the first instance.
        row_s, row_tokens: compiling, all masks and steps of the first instance; its tokens.
        next_row_s: the masks and steps of the first instance on the second walk.
        cache_bytes: what the engine says that it keeps for the schema, after all walks.
        longest_collection_s: of Python's garbage collector, during the case.
    """

    name: str
    verdict: Verdict = "pass"
    reason: str = ""
    right: int = 0
    wrong: int = 0
    compile_s: float | None = None
    first_mask_s: float | None = None
    steps_s: list[float] = field(default_factory=list)
    again_s: list[float] = field(default_factory=list)
    row_s: float | None = None
    row_tokens: int = 0
    next_row_s: float | None = None
    cache_bytes: int | None = None
    longest_collection_s: float = 0.0


def run(
    case: Case,
    engine: Engine,
    encode: Callable[[str], list[int]],
    eos: int,
    report: Callable[[Outcome], None],
) -> Outcome:
    """Runs a case; `report` gets the unfinished outcome after each part, as a sign of life."""
    outcome = Outcome(case.name)
    started = time.perf_counter()
    try:
        compiled = engine.compile(case.schema)
    except Refused as error:
        outcome.verdict, outcome.reason = "refused", str(error)
        outcome.compile_s = time.perf_counter() - started
        return outcome
    outcome.compile_s = time.perf_counter() - started
    report(outcome)
    started = time.perf_counter()
    compiled.start().mask()
    outcome.first_mask_s = time.perf_counter() - started
    report(outcome)
    if outcome.compile_s + outcome.first_mask_s > FIRST_MASK_S:
        outcome.verdict, outcome.reason = "too slow", f"over {FIRST_MASK_S:.0f} s to the first mask"
        return outcome

    # the row of a user is a valid one; sorting is stable
    instances = sorted(case.instances, key=lambda instance: not instance.valid)
    for number, instance in enumerate(instances):
        tokens = encode(instance.text)
        timed = _Timed(compiled, engine.mask_every)
        accepted = timed.follow(tokens, eos)
        outcome.steps_s += timed.steps_s
        if number == 0 and instance.valid and accepted and engine.mask_every == 1:
            outcome.row_s = outcome.compile_s + outcome.first_mask_s + sum(timed.steps_s)
            outcome.row_tokens = len(tokens) + 1
            again = _Timed(compiled)
            again.follow(tokens, eos)
            outcome.again_s = again.masks_s
            outcome.next_row_s = again.masks_s[0] + sum(again.steps_s)
        if accepted == instance.valid:
            outcome.right += 1
        else:
            outcome.wrong += 1
            if instance.valid and outcome.verdict == "pass":
                outcome.verdict, outcome.reason = (
                    "valid rejected",
                    timed.where(instance.text, tokens),
                )
            elif not instance.valid and outcome.verdict != "invalid accepted":
                outcome.verdict, outcome.reason = "invalid accepted", instance.text
        report(outcome)
    outcome.cache_bytes = compiled.cache_bytes()
    return outcome


class _Timed:
    """One walk along a text, its masks and steps timed."""

    def __init__(self, compiled: Compiled, mask_every: int = 1) -> None:
        self._compiled = compiled
        self._mask_every = mask_every
        self.steps_s: list[float] = []
        self.masks_s: list[float] = []
        self._taken = 0

    def follow(self, tokens: list[int], eos: int) -> bool:
        """Whether the masks allow every token in turn, and the end behind them."""
        started = time.perf_counter()
        walk = self._compiled.start()
        walk.mask()
        self.masks_s.append(time.perf_counter() - started)
        masked = True
        for token in (*tokens, eos):
            legal = walk.allowed(token) if masked else walk.check(token)
            if not legal:
                return False
            if token != eos:
                self._taken += 1
                masked = self._taken % self._mask_every == 0
                self._step(walk, token, masked)
        return True

    def _step(self, walk: Walk, token: int, masked: bool) -> None:
        started = time.perf_counter()
        walk.advance(token)
        if not masked:
            return
        middle = time.perf_counter()
        walk.mask()
        ended = time.perf_counter()
        self.steps_s.append(ended - started)
        self.masks_s.append(ended - middle)

    def where(self, text: str, tokens: list[int]) -> str:
        """How far the walk came."""
        return f"stopped before token {self._taken} of {len(tokens)} in {text}"
