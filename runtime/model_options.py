"""How a model is loaded: what an engine and its process are told, as plain data.

Options that no model could be loaded with are refused here, before a file is opened.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from ..lang.errors import ParameterError
from ..radix_cache.policy import DEFAULT_POLICY, PolicyName

MOST_THREADS = 8
"""More CPU threads than this are taken only where asked for."""

_SIZES = "idle_cells", "host_bytes", "disk_bytes", "logits_bytes", "prepared_bytes", "state_bytes"


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """How a model is loaded.

    Attributes:
        n_ctx: KV cells, shared by all running requests (tokens); llama.cpp rounds it up to 256s.
        n_threads: CPU threads of llama.cpp; None takes this process's cores, at most 8.
        n_gpu_layers: layers on an accelerator, -1 for all; a CPU build ignores it.
        max_running: most requests that run at once.
        chunk_tokens: most prefill tokens per batch while at least as many requests decode as
            prefill; otherwise batches are as large as they can be.
        max_itl_ms: the longest that a running request should wait between two tokens, in
            milliseconds; prefill chunks shrink for it. None leaves them to `chunk_tokens`.
        idle_cells: cells that unused prefixes may keep in the context; each slows every step, and
            bringing a prefix back takes little.
        host_bytes: host memory for parked prefixes; up to 512 MiB more while cells are moved.
        eviction: which of them go first where that is full: `"lru"`, `"lfu"`, `"slru"`,
            `"priority"` or `"cost_aware"` (recompute cost x likelihood of reuse / bytes).
            Recurrent and hybrid models go by last use alone.
        disk_bytes: most bytes of prefixes on disk, where they outlive the process; 0 for none. What
            is there is read back ahead of waiting requests.
        disk_write: when it is written: `"back"`, when the model is closed or host memory is full,
            or `"through"`, when a request ends, so that a process that is killed loses only what
            the disk had not kept up with.
        disk_folder: where those are; None takes treegram's folder in the user's cache. Models and
            processes can share one.
        logits_bytes: memory for logits at the ends of prompts, which spare forks and repeated
            requests an evaluation each; a row takes 4 bytes per vocabulary entry.
        prepared_bytes: most bytes of weights prepared for this machine, in treegram's folder in the
            user's cache; 0 loads every file as it is. The first load of a GGUF whose type has no
            fast kernel on the CPU measures whether a Q8_0 copy is faster and as good, which takes
            some seconds; later loads use what it found. Not with `exact` or offloaded layers.
        speculate: evaluate guessed tokens along with drawn ones (the end of a prompt that healing
            backed up, earlier continuations of the same text, repetitions) where measured step
            times say that it pays; results are the same.
        draft: a smaller GGUF with the same vocabulary, whose guesses are evaluated along where
            nothing likelier is known and that pays; only with `speculate`. It takes cells of its
            own, as many as `n_ctx`, and up to an eighth of `host_bytes` more.
            Every model of a Runtime has it; one that keeps a state is not drafted for.
        state_bytes: memory for the states of recurrent layers, where a model has such: each running
            request and each prefix that is at hand takes one, and there are at least four.
        adapters: LoRA adapters of the model by name, as GGUF files; a `gen` says which it uses.
        projector: the model's mmproj GGUF, which reads images.
        exact: F32 KV and no flash attention: reproducible to 1e-4 of a logit with F32 weights.
        measure_minimum: count the trie of all requests, for reports.

    Raises:
        ParameterError: a value is out of its range.
    """

    n_ctx: int = 8192
    n_threads: int | None = None
    n_gpu_layers: int = -1
    max_running: int = 32
    chunk_tokens: int = 128
    max_itl_ms: float | None = None
    idle_cells: int = 512
    host_bytes: int = 2 << 30
    eviction: PolicyName = DEFAULT_POLICY
    disk_bytes: int = 0
    disk_write: Literal["back", "through"] = "back"
    disk_folder: Path | None = None
    logits_bytes: int = 64 << 20
    prepared_bytes: int = 4 << 30
    speculate: bool = True
    draft: Path | None = None
    state_bytes: int = 1 << 30
    adapters: Mapping[str, Path] = field(default_factory=dict)
    projector: Path | None = None
    exact: bool = False
    measure_minimum: bool = False

    def __post_init__(self) -> None:
        for name in ("max_running", "chunk_tokens"):
            if getattr(self, name) < 1:
                raise ParameterError(name, f"expected 1 or more, got {getattr(self, name)}")
        for name in _SIZES:
            if getattr(self, name) < 0:
                raise ParameterError(name, f"expected 0 or more, got {getattr(self, name)}")
        if self.max_itl_ms is not None and not self.max_itl_ms > 0:
            raise ParameterError("max_itl_ms", f"expected more than 0, got {self.max_itl_ms}")
        if self.eviction not in get_args(PolicyName):
            expected = ", ".join(get_args(PolicyName))
            raise ParameterError("eviction", f"expected {expected}; got {self.eviction!r}")
        if self.disk_write not in ("back", "through"):
            raise ParameterError("disk_write", f"expected back, through; got {self.disk_write!r}")
        if self.draft is not None and not self.speculate:
            raise ParameterError("draft", "it drafts only with speculate=True; leave one of them")
        if self.max_running > 128:
            raise ParameterError("max_running", f"expected at most 128, got {self.max_running}")
        if self.n_threads is not None and self.n_threads < 1:
            raise ParameterError("n_threads", f"expected None or 1 or more, got {self.n_threads}")

    @property
    def cpu_threads(self) -> int:
        """`n_threads`, or what None stands for here."""
        if self.n_threads is not None:
            return self.n_threads
        if hasattr(os, "sched_getaffinity"):
            return min(len(os.sched_getaffinity(0)), MOST_THREADS)
        return min(os.cpu_count() or 1, MOST_THREADS)
