"""A constraint, compiled: the object that programs hold, engines run and GBNF prints.

Whatever a constraint was written as, a `Grammar` holds the same thing: IR rules that have been
checked (`ir/check.py`). It is frozen and equal by content, so that it can key the caches of
automata and token masks. The constructors keep their most recent results, so that a constraint in
a loop compiles once per process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial

from .automaton.automaton import Automaton
from .automaton.substring import SubstringOf
from .choices import checked_choices
from .compiler.compile import compile_source
from .compiler.front_ends import Source
from .compiler.shared_cache import SharedCache
from .errors import GrammarError, ParameterError, RegexError, SchemaError
from .gbnf.printer import rules_to_gbnf
from .ir.check import check
from .ir.nodes import Rules
from .ir.walk import digest
from .json_schema.compile import Note
from .json_schema.layout import Layout
from .json_schema.plain import Formats
from .json_schema.source import check_size

_CACHED_GRAMMARS = 256


@dataclass(frozen=True, eq=False)
class Grammar:
    """A set of texts, as IR `rules`.

    `notes` lists what a JSON Schema says and the grammar does not enforce: formats that are
    annotations, and what `lenient` left out. They are no part of the grammar's identity.

    Raises GrammarError if the rules are malformed, too large, left-recursive or match no text.
    """

    rules: Rules
    notes: tuple[Note, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.rules, Rules):
            raise ParameterError(
                "rules",
                f"expected Rules, got {self.rules!r:.80}; for a text use Grammar.from_gbnf, "
                "from_lark, from_regex, from_choices or from_schema",
            )
        check(self.rules)

    @classmethod
    def from_regex(cls, pattern: str) -> Grammar:
        """The texts that `pattern` matches from end to end; `docs/regex.md` has the dialect.

        Raises RegexError, with the column, for an invalid pattern or one with no exact grammar.
        """
        if not isinstance(pattern, str):
            kind = type(pattern).__name__
            raise RegexError(f"expected a str, got {kind} {pattern!r}", "", 0)
        return _compiled(Source("regex", pattern))

    @classmethod
    def from_choices(cls, choices: Sequence[str]) -> Grammar:
        """Exactly one of `choices`.

        Raises ParameterError if there are none, or one is empty, repeated or not a str.
        """
        return _compiled(Source("choices", json.dumps(checked_choices(choices))))

    @classmethod
    def from_schema(
        cls,
        schema: object,
        layout: Layout | None = None,
        *,
        lenient: bool = False,
        formats: Formats = "enforced",
    ) -> Grammar:
        """The JSON texts that are valid for a JSON Schema (a dict or a bool) or a Python type.

        Without a layout these are all the texts of valid values: any order of keys, white space,
        escapes. `JsonLayout()` leaves one text per value, as
        `json.dumps(..., ensure_ascii=False)` writes it, which is what
        a `gen` follows; its fields narrow or widen that.

        `lenient` leaves out what has no exact grammar and lists it in `notes`. `formats`: whether
        the formats of the standard constrain, or are an "annotation", which `notes` lists.

        Raises SchemaError, with the JSON path and the keyword, for what cannot be compiled exactly.
        """
        if layout is not None and not isinstance(layout, Layout):
            raise ParameterError("layout", f"expected a JsonLayout, got {layout!r:.80}")
        if not isinstance(lenient, bool):
            raise ParameterError("lenient", f"expected True or False, got {lenient!r:.80}")
        if formats not in ("enforced", "annotation"):
            raise ParameterError("formats", f"'enforced' or 'annotation', not {formats!r:.80}")
        if not isinstance(schema, (bool, Mapping)):
            from .types.output import output_type  # loads pydantic

            schema = output_type(schema).schema
        check_size(schema)
        try:
            text = json.dumps(schema)
        except RecursionError as error:
            raise SchemaError("nested too deeply, or in a circle", "$") from error
        except (TypeError, ValueError) as error:
            raise SchemaError(f"not a JSON value: {error}", "$") from error
        chosen = asdict(layout or Layout.accepting())
        options = {"layout": chosen, "lenient": lenient, "formats": formats}
        return _compiled(Source("schema", text, json.dumps(options)))

    @classmethod
    def from_substring(cls, text: str, *, words: bool = False) -> Grammar:
        """Any passage of `text` that is not empty; with `words`, from word boundary to boundary.

        Raises ParameterError if there is nothing to quote.
        """
        return Grammar(SubstringOf(text, words=words).rules())

    @classmethod
    def from_gbnf(cls, text: str) -> Grammar:
        """The texts that the rule `root` of this GBNF grammar matches.

        Raises GrammarError, with line and column, for text that is no GBNF.
        """
        if not isinstance(text, str):
            raise GrammarError(f"gbnf: expected a str, got {type(text).__name__} {text!r}")
        return _compiled(Source("gbnf", text))

    @classmethod
    def from_lark(cls, text: str, start: str = "start") -> Grammar:
        """The texts that the rule `start` of this Lark grammar derives.

        Raises GrammarError, with line and column, for text that is no Lark grammar or uses what has
        no exact grammar.
        """
        if not isinstance(text, str):
            raise GrammarError(f"lark: expected a str, got {type(text).__name__} {text!r}")
        return _compiled(Source("lark", text, json.dumps({"start": start})))

    def to_gbnf(self) -> str:
        """This grammar as llama.cpp reads it; the start rule is `root`.

        Raises GrammarError for what GBNF cannot hold, such as more than six members in any order.
        """
        return rules_to_gbnf(self.rules)

    def accepts(self, text: str) -> bool:
        """Whether `text` is in the set. Raises ParameterError for what is no str."""
        return self.automaton.accepts(_encoded(text))

    def accepts_prefix(self, text: str) -> bool:
        """Whether some text of the set begins with `text`. Raises ParameterError for no str."""
        return self.automaton.accepts_prefix(_encoded(text))

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

    def __reduce__(self) -> tuple[type[Grammar], tuple[Rules, tuple[Note, ...]]]:
        # the automaton stays behind: it is rebuilt on demand
        return (Grammar, (self.rules, self.notes))


def _encoded(text: str) -> bytes:
    if not isinstance(text, str):
        raise ParameterError("text", f"expected a str, got {type(text).__name__} {text!r:.80}")
    return text.encode(errors="surrogatepass")


def _compiled(source: Source) -> Grammar:
    return _GRAMMARS.get(source, partial(_compile, source))


def _compile(source: Source) -> Grammar:
    compiled = compile_source(source)
    return Grammar(compiled.rules, tuple(Note(*note) for note in compiled.notes))


_GRAMMARS: SharedCache[Source, Grammar] = SharedCache(_CACHED_GRAMMARS)
