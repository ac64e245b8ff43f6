"""Traces of prompts for cache simulations: published ones, and generated ones of any size.

Published traces (Mooncake: Qin et al., FAST '25) give hashes of blocks of 512 tokens in the place
of text; a block becomes 512 token ids of its own, so that prompts share what they shared.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treegram.radix_cache.tree import TokenArray

BLOCK_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Trace:
    """Prompts in the order of their arrival; every call of `prompts` gives them anew.

    `arrivals` gives when they came, float64[n] from 0 on, in units of the mean time between two.
    """

    name: str
    prompts: Callable[[], Iterator[TokenArray]]
    arrivals: Callable[[], NDArray[np.float64]]


def mooncake(path: Path, n_requests: int | None) -> Trace:
    """The prompts of a gzipped Mooncake trace, the first `n_requests` of it. Raises OSError."""

    def rows() -> Iterator[dict[str, Any]]:
        with gzip.open(path, "rt") as lines:
            yield from map(json.loads, islice(lines, n_requests))

    def prompts() -> Iterator[TokenArray]:
        inside = np.arange(BLOCK_TOKENS, dtype=np.int32)
        for row in rows():
            blocks = np.array(row["hash_ids"], np.int32) * BLOCK_TOKENS
            yield np.add.outer(blocks, inside).reshape(-1)[: row["input_length"]]

    def arrivals() -> NDArray[np.float64]:
        times = np.array([row["timestamp"] for row in rows()], np.float64)
        gap = max(times[-1] - times[0], 1.0) / len(times)
        found: NDArray[np.float64] = (times - times[0]) / gap
        return found

    return Trace(path.name.removesuffix(".jsonl.gz"), prompts, arrivals)


def zipf_groups(
    n_requests: int,
    *,
    n_groups: int = 1000,
    group_tokens: int = 60,
    own_tokens: int = 40,
    turns: int = 3,
    seed: int = 0,
) -> Trace:
    """Conversations that start from shared prompts, of popularity 1 / rank.

    A request is the prompt of a group and between one and `turns` turns of `own_tokens` each, which
    go on from an earlier request where there is one. Tokens are random, of 32,000; requests come
    independently of each other (a Poisson process).
    """

    def prompts() -> Iterator[TokenArray]:
        rng = np.random.default_rng(seed)
        weights = 1 / np.arange(1, n_groups + 1)
        shares = weights / weights.sum()
        heads = rng.integers(0, 32_000, (n_groups, group_tokens), np.int32)
        open_ones: list[TokenArray] = []
        for first in range(0, n_requests, 4096):
            n = min(4096, n_requests - first)
            groups = rng.choice(n_groups, n, p=shares)
            own = rng.integers(0, 32_000, (n, own_tokens), np.int32)
            goes_on = rng.random(n) < (turns - 1) / turns
            picks = rng.random(n)
            for i in range(n):
                at = int(picks[i] * len(open_ones))
                is_follow_up = bool(goes_on[i] and open_ones)
                head = open_ones[at] if is_follow_up else heads[groups[i]]
                tokens = np.concatenate((head, own[i]))
                if not is_follow_up:
                    open_ones.append(tokens)
                elif len(tokens) < group_tokens + turns * own_tokens:
                    open_ones[at] = tokens
                else:
                    open_ones[at] = open_ones[-1]
                    open_ones.pop()
                yield tokens

    def arrivals() -> NDArray[np.float64]:
        return np.random.default_rng(seed).exponential(size=n_requests).cumsum()

    return Trace(f"zipf, {n_groups} groups", prompts, arrivals)
