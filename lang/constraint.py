"""What a `gen` promises about its text: a grammar to follow, and the value the text is read as."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .automaton.substring import SubstringOf
from .choices import checked_choices
from .errors import GrammarError, ParameterError, ProgramError
from .grammar import Grammar
from .json_schema.layout import Layout
from .json_schema.plain import Formats
from .tags import Tag, TaggedText, Tags, checked_tags
from .types.output import OutputType, output_type, tool_type

MAX_INT_DIGITS = 20


@dataclass(frozen=True, slots=True)
class Constraint:
    """The texts of `grammar`, each read as `parse(text)`.

    `parse` raises ValueError for a text that is no value: one cut off by max_tokens, or one that a
    validator of the user's own refuses. `quoted` is what the text is a passage of, if it is one.
    """

    grammar: Grammar
    parse: Callable[[str], object]
    quoted: SubstringOf | None = None


def constraint_from(
    *,
    regex: str | None = None,
    schema: object = None,
    grammar: Grammar | str | None = None,
    choices: Sequence[str] | None = None,
    dtype: object = None,
    substring_of: str | SubstringOf | None = None,
    tools: Sequence[Callable[..., Any]] | None = None,
    tags: Sequence[Tag] | Tags | None = None,
    layout: Layout | None = None,
    lenient: bool = False,
    formats: Formats = "enforced",
) -> Constraint | None:
    """The constraint that one of the arguments describes; None if none is given or dtype is `str`.

    Args:
        regex: a pattern for the whole text; the value is the text.
        schema: a Python type, a callable or a JSON Schema; the value is an instance.
        grammar: a Grammar or the text of a GBNF or Lark grammar; the value is the text.
        choices: the texts to choose from; the value is the text.
        dtype: `int` (at most 20 digits), `float` (a plain decimal), `bool` (True, False), `str`.
        substring_of: a text to quote from, or a SubstringOf; the value is the quote.
        tools: functions to call; the value is a ToolCall.
        tags: a Tags, or a list of Tag; the value is a list of texts and Regions.
        layout: how JSON is written; None is one text per value, as
            `json.dumps(..., ensure_ascii=False)` writes it.
        lenient: leave out what of a JSON Schema has no exact grammar, and note it.
        formats: "annotation" notes the formats of a JSON Schema and does not enforce them.

    Raises:
        ProgramError: more than one is given.
        ConstraintError: the constraint cannot be compiled exactly.
        ParameterError: an argument is not what it must be.
    """
    options = {
        "regex": regex,
        "schema": schema,
        "grammar": grammar,
        "choices": choices,
        "dtype": dtype,
        "substring_of": substring_of,
        "tools": tools,
        "tags": tags,
    }
    given = [name for name, value in options.items() if value is not None]
    if len(given) > 1:
        raise ProgramError(
            f"a gen takes one constraint, and these were given: {', '.join(given)}; keep one"
        )
    json = _Json(layout, lenient, formats, has_json=given in (["schema"], ["tools"], ["tags"]))
    if regex is not None:
        return Constraint(Grammar.from_regex(regex), str)
    if schema is not None:
        return json.constraint(output_type(schema))
    if grammar is not None:
        return Constraint(_grammar(grammar), str)
    if choices is not None:
        return Constraint(Grammar.from_choices(checked_choices(choices)), str)
    if substring_of is not None:
        return _quote(substring_of)
    if tools is not None:
        return json.constraint(tool_type(tools))
    if tags is not None:
        return _tagged(tags, {"layout": layout, "lenient": lenient, "formats": formats})
    return None if dtype is None else _of_dtype(dtype)


class _Json:
    """Options for what is written as JSON. Raises ParameterError if one is given for nothing."""

    def __init__(
        self, layout: Layout | None, lenient: bool, formats: Formats, *, has_json: bool
    ) -> None:
        if layout is not None and not isinstance(layout, Layout):
            raise ParameterError("layout", f"expected a JsonLayout, got {layout!r:.80}")
        if not isinstance(lenient, bool):
            raise ParameterError("lenient", f"expected True or False, got {lenient!r:.80}")
        given = {
            "layout": layout is not None,
            "lenient": lenient,
            "formats": formats != "enforced",
        }
        for name, is_given in given.items():
            if is_given and not has_json:
                raise ParameterError(name, "goes with schema=, tools= or tags=, and none is given")
        self._layout = layout or Layout()
        self._lenient = lenient
        self._formats: Formats = formats

    def constraint(self, output: OutputType) -> Constraint:
        grammar = Grammar.from_schema(
            output.schema, self._layout, lenient=self._lenient, formats=self._formats
        )
        return Constraint(grammar, output.parse)


def _tagged(tags: Sequence[Tag] | Tags, json_options: Mapping[str, Any]) -> Constraint:
    checked = checked_tags(tags)
    contents: list[Constraint | None] = []
    for tag in checked.tags:
        content = tag.content()
        if "schema" in content or "tools" in content:
            content |= json_options
        contents.append(constraint_from(**content))
    tagged = TaggedText(checked, contents)
    notes = [note for content in contents if content is not None for note in content.grammar.notes]
    return Constraint(Grammar(tagged.rules(), tuple(notes)), tagged.parse)


def _quote(substring_of: str | SubstringOf) -> Constraint:
    quoted = substring_of if isinstance(substring_of, SubstringOf) else SubstringOf(substring_of)
    return Constraint(Grammar.from_substring(quoted.text, words=quoted.words), str, quoted)


_GBNF_RULE = re.compile(r"^\s*[A-Za-z][\w-]*\s*::=", re.MULTILINE | re.ASCII)
_LARK_RULE = re.compile(r"^\s*[!?]*[A-Za-z_]\w*(\.-?\d+)?\s*:(?!:)", re.MULTILINE | re.ASCII)


def _grammar(grammar: Grammar | str) -> Grammar:
    if isinstance(grammar, Grammar):
        return grammar
    if not isinstance(grammar, str):
        raise ParameterError(
            "grammar", f"expected a Grammar, or GBNF or Lark text, got {grammar!r:.80}"
        )
    return grammar_from_text(grammar)


def grammar_from_text(grammar: str) -> Grammar:
    """A GBNF or a Lark grammar, told apart by how their rules are written.

    Raises GrammarError for a text that is neither, or a malformed one.
    """
    if _GBNF_RULE.search(grammar):
        return Grammar.from_gbnf(grammar)
    if _LARK_RULE.search(grammar):
        return Grammar.from_lark(grammar)
    raise GrammarError(
        "grammar: the text has neither a GBNF rule, such as `root ::= ...`, nor a Lark rule, such "
        f"as `start: ...`: {grammar!r:.80}"
    )


def _parse_bool(text: str) -> bool:
    if text not in ("True", "False"):
        raise ValueError(f"expected True or False, got {text!r:.80}")
    return text == "True"


_DTYPES: dict[object, tuple[str, Callable[[str], object]]] = {
    int: (rf"0|-?[1-9][0-9]{{0,{MAX_INT_DIGITS - 1}}}", int),
    float: (rf"-?(0|[1-9][0-9]{{0,{MAX_INT_DIGITS - 1}}})(\.[0-9]{{1,{MAX_INT_DIGITS}}})?", float),
    bool: ("True|False", _parse_bool),
}


def _of_dtype(dtype: object) -> Constraint | None:
    if dtype is str or dtype == "str":
        return None
    for kind, (pattern, parse) in _DTYPES.items():
        if dtype is kind or dtype == getattr(kind, "__name__", None):
            return Constraint(Grammar.from_regex(pattern), parse)
    raise ParameterError(
        "dtype", f"expected int, float, bool or str, got {dtype!r:.80}; for other types use schema="
    )
