"""What a `gen` promises about its text: a grammar to follow, and the value the text is read as."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .choices import checked_choices
from .errors import ParameterError, ProgramError
from .grammar import Grammar
from .types import output_type

MAX_INT_DIGITS = 20


@dataclass(frozen=True, slots=True)
class Constraint:
    """The texts of `grammar`, each read as `parse(text)`.

    `parse` raises ValueError for a text that is no value: one cut off by max_tokens, or one that a
    validator of the user's own refuses.
    """

    grammar: Grammar
    parse: Callable[[str], object]


def constraint_from(
    *,
    regex: str | None = None,
    schema: object = None,
    grammar: Grammar | str | None = None,
    choices: Sequence[str] | None = None,
    dtype: object = None,
) -> Constraint | None:
    """The constraint that one of the arguments describes; None if none is given or dtype is `str`.

    Args:
        regex: a pattern for the whole text; the value is the text.
        schema: a Python type, a callable or a JSON Schema (`types.py`); the value is an instance.
        grammar: a Grammar or the text of a GBNF grammar; the value is the text.
        choices: the texts to choose from; the value is the text.
        dtype: `int` (at most 20 digits), `float` (a plain decimal), `bool` (True, False), `str`.

    Raises:
        ProgramError: more than one is given.
        ConstraintError: the constraint cannot be compiled exactly.
        ParameterError: the choices or the dtype are not what they must be.
    """
    options = {
        "regex": regex,
        "schema": schema,
        "grammar": grammar,
        "choices": choices,
        "dtype": dtype,
    }
    given = [name for name, value in options.items() if value is not None]
    if len(given) > 1:
        raise ProgramError(
            f"a gen takes one constraint, and these were given: {', '.join(given)}; keep one"
        )
    if regex is not None:
        return Constraint(Grammar.from_regex(regex), str)
    if schema is not None:
        output = output_type(schema)
        return Constraint(Grammar.from_schema(output.schema), output.parse)
    if grammar is not None:
        return Constraint(_grammar(grammar), str)
    if choices is not None:
        return Constraint(Grammar.from_choices(checked_choices(choices)), str)
    return None if dtype is None else _of_dtype(dtype)


def _grammar(grammar: Grammar | str) -> Grammar:
    if isinstance(grammar, Grammar):
        return grammar
    if isinstance(grammar, str):
        return Grammar.from_gbnf(grammar)
    raise ParameterError("grammar", f"expected a Grammar or GBNF text, got {grammar!r:.80}")


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
