"""A constraint, compiled: the object that programs hold, engines run and GBNF prints.

Whatever a constraint was written as, a `Grammar` holds the same thing: IR rules that have been
checked (`ir_check.py`). It is frozen and equal by content, so that it can key the caches of
automata and token masks. The constructors keep their most recent results, so that a constraint in
a loop compiles once per process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from .automaton import Automaton
from .choices import checked_choices, choices_to_rules
from .errors import GrammarError, RegexError, SchemaError
from .gbnf import rules_to_gbnf
from .gbnf_parser import gbnf_to_rules
from .ir import Rules
from .ir_check import check
from .ir_walk import digest
from .json_schema import schema_to_rules
from .regex import parse_fullmatch

_CACHED_GRAMMARS = 256


@dataclass(frozen=True, eq=False)
class Grammar:
    """A set of texts, as IR `rules`.

    Raises GrammarError if the rules are malformed, too large, left-recursive or match no text.
    """

    rules: Rules

    def __post_init__(self) -> None:
        check(self.rules)

    @classmethod
    def from_regex(cls, pattern: str) -> Grammar:
        """The texts that `pattern` matches from end to end; `lang/regex.py` says in which dialect.

        Raises RegexError, with the column, for an invalid pattern or one with no exact grammar.
        """
        if not isinstance(pattern, str):
            kind = type(pattern).__name__
            raise RegexError(f"expected a str, got {kind} {pattern!r}", "", 0)
        return _from_regex(pattern)

    @classmethod
    def from_choices(cls, choices: Sequence[str]) -> Grammar:
        """Exactly one of `choices`.

        Raises ParameterError if there are none, or one is empty, repeated or not a str.
        """
        return _from_choices(checked_choices(choices))

    @classmethod
    def from_schema(cls, schema: Mapping[str, Any] | bool) -> Grammar:
        """The JSON texts that are valid for this JSON Schema.

        Properties keep their order. Raises SchemaError, with the JSON path, for what cannot be
        compiled exactly.
        """
        try:
            text = json.dumps(schema)
        except RecursionError as error:
            raise SchemaError("nested too deeply, or in a circle", "$") from error
        except (TypeError, ValueError) as error:
            raise SchemaError(f"not a JSON value: {error}", "$") from error
        return _from_schema(text)

    @classmethod
    def from_gbnf(cls, text: str) -> Grammar:
        """The texts that the rule `root` of this GBNF grammar matches.

        Raises GrammarError, with line and column, for text that is no GBNF.
        """
        if not isinstance(text, str):
            raise GrammarError(f"gbnf: expected a str, got {type(text).__name__} {text!r}")
        return _from_gbnf(text)

    def to_gbnf(self) -> str:
        """This grammar as llama.cpp reads it; the start rule is `root`.

        Raises GrammarError for what llama.cpp cannot run, such as a bound above 2,000.
        """
        return rules_to_gbnf(self.rules)

    def accepts(self, text: str) -> bool:
        """Whether `text` is in the set."""
        return self.automaton.accepts(text.encode(errors="surrogatepass"))

    def accepts_prefix(self, text: str) -> bool:
        """Whether some text of the set begins with `text`."""
        return self.automaton.accepts_prefix(text.encode(errors="surrogatepass"))

    @cached_property
    def automaton(self) -> Automaton:
        """The byte automaton of these rules, shared by everyone who runs this grammar."""
        return Automaton(self.rules)

    @cached_property
    def key(self) -> str:
        """A hash of the rules, equal in every process; equal keys mean equal grammars."""
        return digest(self.rules)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grammar) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __reduce__(self) -> tuple[type[Grammar], tuple[Rules]]:
        return (Grammar, (self.rules,))  # the automaton stays behind: it is rebuilt on demand


@lru_cache(_CACHED_GRAMMARS)
def _from_regex(pattern: str) -> Grammar:
    return Grammar(Rules("root", {"root": parse_fullmatch(pattern)}))


@lru_cache(_CACHED_GRAMMARS)
def _from_gbnf(text: str) -> Grammar:
    return Grammar(gbnf_to_rules(text))


@lru_cache(_CACHED_GRAMMARS)
def _from_schema(text: str) -> Grammar:
    return Grammar(schema_to_rules(json.loads(text)))


@lru_cache(_CACHED_GRAMMARS)
def _from_choices(choices: tuple[str, ...]) -> Grammar:
    return Grammar(choices_to_rules(choices))
