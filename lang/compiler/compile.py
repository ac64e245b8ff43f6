"""From a source to rules: the caches, then here while it is quick, then a worker process.

Small sources compile in the caller's thread, most in about a millisecond. What is large, or turns
out slow, goes to a worker (`pool.py`), so that it neither holds the interpreter lock that
the engine needs nor takes more time or memory than a limit; its result is kept on disk.
"""

from __future__ import annotations

import logging
import time
from functools import partial

from .. import automaton
from ..ir.rules_format import Compiled, decode
from .front_ends import Source, compile_here
from .grammar_cache import GrammarCache, cache_key, user_cache
from .pool import CompilePool, NoWorker, shared_pool
from .time_budget import OutOfTime, run_within

LOG = logging.getLogger(__name__)

HERE_S = 0.1
"""How long a source is tried in the caller's thread."""

HERE_CHARACTERS = 50_000
"""A longer source goes to a worker at once."""

COMPILERS = (__name__.partition(".")[0], "lark")
"""Packages whose code compiles."""

SHIELDED = (automaton.__name__,)
"""Automata of terminals belong to the process, and are written as they run."""

KEPT_S = 0.05
"""Results that took a worker longer are kept on disk; reading them takes about a tenth."""


def compile_source(
    source: Source, *, disk: GrammarCache | None = None, pool: CompilePool | None = None
) -> Compiled:
    """The rules of a source; `ir_check.check` has not seen them yet.

    Args:
        disk: where results are kept; None is the user's cache.
        pool: who compiles what is heavy; None is the process's own.

    Raises:
        ConstraintError: it has no rules, takes too long or needs too much memory.
        ParameterError: choices that are none.
    """
    if source.kind == "choices":
        return compile_here(source)  # a list stays a list: that is quick at any size
    disk = disk or user_cache()
    key = cache_key(source.kind, source.options, source.text)
    found = disk.load(key)
    if found is not None:
        return found
    if len(source.text) <= HERE_CHARACTERS:
        try:
            work = partial(compile_here, source)
            return run_within(HERE_S, work, COMPILERS, shielded=SHIELDED)
        except OutOfTime:
            pass
    began = time.monotonic()
    try:
        encoded = (pool or shared_pool()).compile(source)
    except NoWorker as reason:
        LOG.warning("compiling in this process, without limits: %s", reason)
        return compile_here(source)
    if time.monotonic() - began > KEPT_S:
        disk.keep(key, encoded)
    return decode(encoded)
