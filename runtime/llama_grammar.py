"""The second engine: a constraint run by llama.cpp's own grammar sampler.

The same `Matcher` protocol over `llama_sampler_init_grammar`, so that one flag switches engines and
tests can hold the two against each other. It is slower (a full mask looks at every token), forces
nothing, and takes only what GBNF can express. The sampler aborts the process on an illegal token,
so every token is checked before it is accepted. Differences in what is legal remain: llama.cpp
never allows a token that begins with NUL, it takes overlong UTF-8 for characters, and where a
grammar names control tokens it lets one of them stand for its text as well, and none of the bytes
of a split character for `!<token>`.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..lang.errors import GrammarError
from ..lang.gbnf.printer import rules_to_gbnf
from ..lang.grammar import Grammar
from ..lang.ir.controls import bound, control_tokens, numbered
from ..lang.ir.nodes import Literal, Ref, Rules, Seq
from .base import BoolMask
from .llama import ll
from .spelling import Speller

if TYPE_CHECKING:
    from .llama import LlamaModel

_TOKEN_DATA = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class LlamaGrammarFactory:
    """A grammar bound to a model's vocabulary, run by llama.cpp.

    Raises GrammarError if GBNF cannot express the grammar, or if llama.cpp refuses it.
    """

    def __init__(self, grammar: Grammar, model: LlamaModel, speller: Speller) -> None:
        vocabulary = model.vocabulary
        if not vocabulary.eog:
            raise GrammarError("the model has no end-of-generation token; use engine='treegram'")
        self.model = model
        self.speller = speller
        self._rules = bound(grammar.rules, vocabulary.controls)
        self._sampler = _Sampler(model, rules_to_gbnf(self._rules))
        # llama.cpp would let text spell a control token: only tokens with text of their own count,
        # and those that the grammar names
        named = {token.text for token in control_tokens(self._rules)}
        self.candidates = np.array(
            [
                i
                for i, piece in enumerate(vocabulary.pieces)
                if piece or i in vocabulary.eog or numbered(i) in named
            ],
            dtype=np.int32,
        )
        self.possible = frozenset(self.candidates.tolist())
        self.eog = min(vocabulary.eog)

    def start(self, prefix: bytes = b"", canonical: bool = True) -> LlamaGrammarMatcher:
        """A fresh walk; see `MatcherFactory.start`. The prefix becomes a part of the grammar.

        Raises GrammarError for a prefix that is not whole characters.
        """
        sampler = self._sampler.clone() if not prefix else self._with_prefix(prefix)
        return LlamaGrammarMatcher(self, sampler, prefix, canonical)

    def _with_prefix(self, prefix: bytes) -> _Sampler:
        try:
            text = prefix.decode()
        except UnicodeDecodeError as error:
            raise GrammarError(f"the prefix {prefix!r} ends inside a character") from error
        rules = self._rules
        name = "healed"
        while name in rules.rules:
            name += "-x"
        healed = Seq((Literal(text), Ref(rules.root)))
        return _Sampler(self.model, rules_to_gbnf(Rules(name, {**rules.rules, name: healed})))


class _Sampler:
    """A native grammar sampler, freed with this object."""

    def __init__(self, model: LlamaModel, gbnf: str | None, handle: Any = None) -> None:
        if gbnf is not None:
            handle = ll.llama_sampler_init_grammar(model.vocab, gbnf.encode(), b"root")
        if not handle:
            raise GrammarError(f"llama.cpp refuses this grammar:\n{gbnf}")
        self.model = model  # owns the vocabulary that the sampler points to
        self.handle = handle
        # not at exit: the engine's thread may be sampling then
        weakref.finalize(self, ll.llama_sampler_free, handle).atexit = False

    def clone(self) -> _Sampler:
        return _Sampler(self.model, None, ll.llama_sampler_clone(self.handle))

    def legal(self, tokens: NDArray[np.int32]) -> BoolMask:
        """Which of `tokens` (int32[n]) the grammar allows next, bool[n]."""
        data = np.zeros(len(tokens), dtype=_TOKEN_DATA)
        data["id"] = tokens
        array = ll.llama_token_data_array(
            data=data.ctypes.data_as(ll.llama_token_data_p),
            size=len(data),
            selected=-1,
            sorted=False,
        )
        pointer: Any = ctypes.byref(array)  # the binding's annotation asks for an array
        ll.llama_sampler_apply(self.handle, pointer)
        kept: BoolMask = data["logit"] == 0
        return kept


class LlamaGrammarMatcher:
    """See `Matcher`. Made by `LlamaGrammarFactory.start`."""

    def __init__(
        self, factory: LlamaGrammarFactory, sampler: _Sampler, prefix: bytes, canonical: bool
    ) -> None:
        self._factory = factory
        self._sampler = sampler
        self._vocabulary = factory.model.vocabulary
        self._pending = prefix
        self._canonical = canonical
        self._ended = False
        self._mask: BoolMask | None = None

    def mask(self) -> BoolMask:
        """See `Matcher.mask`. Looks at every token of the vocabulary: milliseconds."""
        if self._mask is None:
            mask = np.zeros(len(self._vocabulary), dtype=bool)
            if not self._ended:
                candidates = self._factory.candidates
                mask[candidates] = self._sampler.legal(candidates)
                if self._pending:
                    for token in np.flatnonzero(mask).tolist():
                        mask[token] = self._heals(token)
            mask.flags.writeable = False
            self._mask = mask
        return self._mask

    def allows(self, token: int) -> bool:
        if self._mask is not None:
            return 0 <= token < len(self._mask) and bool(self._mask[token])
        if self._ended or not 0 <= token < len(self._vocabulary):
            return False
        if token not in self._factory.possible:
            return False
        return self._heals(token) and bool(
            self._sampler.legal(np.array([token], dtype=np.int32))[0]
        )

    def advance(self, token: int) -> None:
        if not self.allows(token):
            raise ValueError(f"token {token} is not legal here")
        self._mask = None
        if token in self._vocabulary.eog:
            self._ended = True
            return
        ll.llama_sampler_accept(self._sampler.handle, token)
        self._pending = self._pending[len(self._vocabulary.pieces[token]) :]

    def forced(self) -> list[int]:
        """Always empty: llama.cpp does not say what is forced."""
        return []

    def open_tokens(self) -> Sequence[int]:
        return self._factory.speller.canonical(self._pending) or ()

    def legal_prefix(self, tokens: Sequence[int]) -> int:
        return len(tokens) if tokens and self.allows(tokens[0]) else 0

    @property
    def is_accepting(self) -> bool:
        return self._ended or self.allows(self._factory.eog)

    @property
    def is_done(self) -> bool:
        if self._ended or not self.is_accepting:
            return self._ended
        return set(np.flatnonzero(self.mask()).tolist()) <= self._vocabulary.eog

    def _heals(self, token: int) -> bool:
        """Whether the token spells the pending text as this walk wants it spelled."""
        if token in self._vocabulary.eog:
            return not self._pending
        if len(self._vocabulary.pieces[token]) >= len(self._pending):
            return True  # the grammar begins with the pending text, so it has checked the rest
        return token in self._factory.speller.first_tokens(self._pending, self._canonical)
