"""The least time that llama.cpp itself could need for a workload.

The program is run without a model, and its tokens are counted in a trie, each once, whoever shares
it. Tokens that are known beforehand (prompts, options, what a schema forces, the last token of a
generation that text follows) can be evaluated many in a batch, at the prefill rate; the others one
after another, at the decode rate of as many sequences as the workload has at a time:

    seconds = prefilled / prefill rate + decoded / decode rate

Both rates are llama.cpp's own on the same file, measured with the workload's own prompts, and the
decode rate is the best of several batch sizes. That no batch is ever smaller than that, and that no
row waits for another, is what makes it a ceiling.

These rates are those of an almost empty context. The second ceiling, at depth, takes them where the
workload has its tokens: prefill behind as many cells as a prefilled token has on average, decode of
sequences that hold the workload's own prompts, whose common beginnings share their cells.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_origin

from peer import Setup
from pydantic import BaseModel
from rates import N_BATCH, Rates, common_prefix

from .base import Branch, Workload

BATCHES = (1, 4, 8, 16, 32)
PREFILL_RUNS, DECODE_STEPS = 3, 8
LONGEST_PREFIX = 1536
PLACEHOLDER = " the"
"""Stands for a generated token where a program adds a result to another text."""


class Tokenize(Protocol):
    """`Rates.tokenize`."""

    def __call__(self, text: str, *, start: bool = ..., control: bool = ...) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Counts in tokens, rates in tokens per second.

    Attributes:
        prefilled, decoded: what must be evaluated at least.
        batch: sequences at which decoding was fastest, of those that the workload allows.
        depth: mean position of the tokens that are prefilled.
        deep_prefill_rate, deep_decode_rate, deep_batch: the same at depth.
    """

    prefilled: int
    decoded: int
    prefill_rate: float
    decode_rate: float
    batch: int
    depth: int
    deep_prefill_rate: float
    deep_decode_rate: float
    deep_batch: int

    @property
    def seconds(self) -> float:
        """The least time for all of it."""
        return self.prefilled / self.prefill_rate + self.decoded / self.decode_rate

    @property
    def seconds_at_depth(self) -> float:
        """The least time for all of it in a context that holds the workload."""
        return self.prefilled / self.deep_prefill_rate + self.decoded / self.deep_decode_rate


def measure(setup: Setup, workload: Workload) -> Ceiling:
    """Counts the workload's tokens and measures both rates, twice."""
    with Rates(setup, max(BATCHES)) as rates:
        plan = count(workload, rates.tokenize)
        prompts = sorted(plan.prompts, key=len)
        typical = prompts[len(prompts) // 2][-LONGEST_PREFIX:]
        together = [token for prompt in reversed(prompts) for token in prompt][:N_BATCH]
        width = len(workload.rows) * workload.branches
        batches = [batch for batch in BATCHES if batch <= width or batch == 1]
        decode = {batch: rates.decode_rate(typical, batch, DECODE_STEPS) for batch in batches}
        best = max(decode, key=lambda batch: decode[batch])
        deep = rates.decode_rates(_spread(plan.prompts, batches[-1]), batches, DECODE_STEPS)
        deep_best = max(deep, key=lambda batch: deep[batch])
        return Ceiling(
            prefilled=plan.prefilled,
            decoded=plan.decoded,
            prefill_rate=rates.prefill_rate(together, PREFILL_RUNS),
            decode_rate=decode[best],
            batch=best,
            depth=plan.depth,
            deep_prefill_rate=rates.prefill_rate(together, PREFILL_RUNS, plan.depth),
            deep_decode_rate=deep[deep_best],
            deep_batch=deep_best,
        )


def _spread(prompts: Sequence[list[int]], n: int) -> list[list[int]]:
    """`n` of the prompts at even distances, so that each is of another row where that can be."""
    return [prompts[(2 * i + 1) * len(prompts) // (2 * n)] for i in range(n)]


def count(workload: Workload, tokenize: Tokenize) -> Plan:
    """Runs the program for every row without a model."""
    plan = Plan(tokenize)
    for row in workload.rows:
        expected = workload.expected(row) if workload.expected else ""
        workload.program(PlanBranch(plan, expected), row)
    return plan


class Plan:
    """Tokens of all requests so far.

    Attributes:
        prefilled, decoded: tokens that were new, by how they can be evaluated.
        depth: mean position of the prefilled ones.
        prompts: the tokens in front of each generation, placeholders for generated ones.
    """

    def __init__(self, tokenize: Tokenize) -> None:
        self.tokenize = tokenize
        self.placeholder = tokenize(PLACEHOLDER, start=False)[:1]
        self.prefilled = self.decoded = self._positions = 0
        self.prompts: list[list[int]] = []
        self._seen: set[int] = set()

    def new(self, place: int, tokens: Sequence[int]) -> tuple[int, int]:
        """Goes on from a place in the trie; gives where that leads and how many were new there."""
        before = len(self._seen)
        for token in tokens:
            place = hash((place, token))
            self._seen.add(place)
        return place, len(self._seen) - before

    @property
    def depth(self) -> int:
        return self._positions // max(1, self.prefilled)

    def prefill(self, n: int, end: int) -> None:
        """Counts `n` tokens in front of position `end`."""
        self.prefilled += n
        self._positions += n * end - n * (n + 1) // 2


class PlanBranch(Branch):
    """A text of which only the tokens are counted."""

    def __init__(self, plan: Plan, expected: str, parent: PlanBranch | None = None) -> None:
        self._plan = plan
        self._expected = expected
        self._place: int = parent._place if parent else 0
        self._tokens: list[int] = list(parent._tokens) if parent else []
        self._last: list[int] = list(parent._last) if parent else []
        self._text: str = parent._text if parent else ""
        self._results: dict[str, str] = dict(parent._results) if parent else {}

    def add(self, text: str) -> None:
        self._text += text

    def generate(self, name: str, tokens: int) -> None:
        self._prefill()
        # the first one comes from the prompt's logits, and the last one need not be evaluated
        made = [-1 - number for number in range(tokens)]
        self._place, new = self._plan.new(self._place, made[:-1])
        self._plan.decoded += new
        self._last = made[-1:]
        self._tokens += self._plan.placeholder * tokens
        self._results[name] = PLACEHOLDER * tokens

    def select(self, name: str, options: Sequence[str]) -> None:
        self._prefill()
        for option in options:
            tokens = self._plan.tokenize(option, start=False)
            new = self._plan.new(self._place, tokens[:-1])[1]
            self._plan.prefill(new, len(self._tokens) + len(tokens) - 1)
        self._text = self._results[name] = options[0]

    def follow(self, name: str, options: Sequence[str]) -> None:
        self._prefill()
        # up to where the first option is the only one left
        texts = [self._plan.tokenize(option, start=False) for option in options]
        common = max((common_prefix([texts[0], other]) for other in texts[1:]), default=0)
        self._plan.decoded += self._plan.new(self._place, texts[0][:common])[1]
        self._text = self._results[name] = options[0]

    def extract(self, name: str, schema: type[BaseModel], tokens: int) -> None:
        self._prefill()
        size = len(self._plan.tokenize(self._expected, start=False)) - 1
        chosen = sum(
            1
            if get_origin(schema.model_fields[field].annotation) is Literal
            # and the token that ends it
            else len(self._plan.tokenize(str(value), start=False)) + 1
            for field, value in json.loads(self._expected).items()
        )
        self._plan.decoded += min(chosen, size)
        self._plan.prefill(max(0, size - chosen), len(self._tokens) + size)
        self._text = self._results[name] = self._expected

    def user(self, text: str) -> None:
        self._text += f"<|im_start|>user\n{text}<|im_end|>\n"

    def assistant(self, name: str, tokens: int) -> None:
        self._text += "<|im_start|>assistant\n"
        self.generate(name, tokens)
        self._text += "<|im_end|>\n"

    def fork(self, n: int, body: Callable[[Branch, int], None]) -> Sequence[Branch]:
        branches = [PlanBranch(self._plan, self._expected, self) for _ in range(n)]
        for index, branch in enumerate(branches):
            body(branch, index)
        return branches

    def __getitem__(self, name: str) -> str:
        return self._results[name]

    def _prefill(self) -> None:
        """What was appended since the last request."""
        tokens = self._plan.tokenize(self._text, start=not self._tokens, control=True)
        self._place, new = self._plan.new(self._place, [*self._last, *tokens])
        self._tokens += tokens
        self._plan.prefill(new, len(self._tokens))
        self._plan.prompts.append(list(self._tokens))
        self._last, self._text = [], ""
