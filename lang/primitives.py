"""The constructors of generations and choices.

Every argument is checked when the expression is made, so that a mistake is reported at its own
line and not when the request reaches the engine. Constraints are compiled here too, for the same
reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from .base import EngineName, OverflowPolicy, SelectMethod
from .choices import checked_choices
from .errors import ParameterError
from .expr import DEFAULT_MAX_TOKENS, Concat, Gen, Marker, Select
from .run_options import checked_text
from .sampling import SamplingParams
from .search import stop_automata

if TYPE_CHECKING:
    from .automaton.substring import SubstringOf
    from .constraint import Constraint
    from .grammar import Grammar
    from .json_schema.layout import Layout
    from .json_schema.plain import Formats
    from .tags import Tag, Tags


def gen(
    name: str | None = None,
    *,
    max_tokens: int | None = None,
    min_tokens: int = 0,
    stop: str | Sequence[str] | None = None,
    stop_regex: str | None = None,
    stop_token_ids: Sequence[int] | None = None,
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
    temperature: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    min_p: float | None = None,
    repetition_penalty: float | None = None,
    frequency_penalty: float | None = None,
    presence_penalty: float | None = None,
    logit_bias: Mapping[int, float] | None = None,
    seed: int | None = None,
    n: int = 1,
    logprobs: int | None = None,
    ignore_eos: bool = False,
    heal: bool = True,
    canonical: bool = True,
    confidence: bool = False,
    engine: EngineName | None = None,
    adapter: str | None = None,
    overflow: OverflowPolicy = "error",
    sinks: int = 4,
) -> Gen:
    """Generates text after everything appended so far.

    Args:
        name: the variable that holds the result; without one it gets the name `_0`, `_1`, ...
        max_tokens: at most so many tokens (default 512); cut text has finish_reason "length".
        min_tokens: no end of turn before so many tokens.
        stop: strings that end the generation; the text ends before the one that matched.
        stop_regex: an expression (`docs/regex.md`) that ends the generation where it first matches
            the new text; the text ends before the match, `meta(name).stop_matched` is the match.
        stop_token_ids: token ids that end the generation.
        regex, schema, grammar, choices, dtype, substring_of, tools, tags: what the text must be; at
            most one. `schema` is a pydantic model, dataclass, TypedDict, Enum, Literal or JSON
            Schema, and the variable is then a validated value; `grammar` is a Grammar, or GBNF or
            Lark text; `dtype` is int, float, str or bool; `substring_of` is a text to quote from,
            or a SubstringOf; `tools` are functions, and the variable is then a ToolCall; `tags` is
            a list of Tag or a Tags, and the variable is then a list of texts and Regions.
        layout: how JSON is written; None is one text per value, as
            `json.dumps(..., ensure_ascii=False)` writes it.
        lenient: leave out what of a JSON Schema has no exact grammar; `meta(name).notes` lists it.
        formats: "annotation" does not enforce the formats of a JSON Schema; the notes list them.
        temperature, top_p, top_k, min_p, repetition_penalty, frequency_penalty, presence_penalty,
        logit_bias, seed, logprobs: see SamplingParams; None takes the run's `sampling`.
        n: so many samples of the same prompt; the variable is then their list, and the text goes
            on with the first. With a seed, sample i draws with seed + i.
        ignore_eos: never end at an end-of-turn token.
        heal: let the first token also re-spell the end of the prompt where that is more natural.
        canonical: spell forced text as the model's own tokeniser would.
        confidence: measure how sure the model was, as `meta(name).confidence`; see Confidence.
        engine: who executes the constraint; None takes the run's.
        adapter: the model's LoRA adapter to use, by name; "" for none, None takes the run's.
        overflow: where the text outgrows the context. "error" refuses a prompt that is too long,
            and a generation that fills the context ends with "length". "shift" drops tokens, half a
            context at a time and the oldest first, and goes on; the text behind is read anew, and
            `meta(name).dropped_tokens` says how many are gone.
        sinks: how many tokens at the beginning a shift keeps, as those that models lean on
            (StreamingLLM, arXiv:2309.17453): a few, or as many as the instructions have, and half
            the context at most.

    Raises:
        ParameterError: an argument out of its range; `parameter` names it.
        ConstraintError: a constraint that cannot be compiled.
        ProgramError: more than one constraint.
    """
    limit = DEFAULT_MAX_TOKENS if max_tokens is None else max_tokens
    given: dict[str, Any] = {
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "frequency_penalty": frequency_penalty,
        "presence_penalty": presence_penalty,
        "logit_bias": logit_bias,
        "seed": seed,
        "logprobs": logprobs,
    }
    sampling = {key: value for key, value in given.items() if value is not None}
    _check_numbers(sampling)
    SamplingParams(**sampling)
    _check_int("max_tokens", limit, minimum=1)
    _check_int("min_tokens", min_tokens, minimum=0)
    if min_tokens > limit:
        raise ParameterError(
            "min_tokens", f"expected at most max_tokens ({limit}), got {min_tokens}"
        )
    _check_int("n", n, minimum=1)
    if engine is not None:
        _check_one_of("engine", engine, get_args(EngineName))
    if adapter is not None:
        checked_text("adapter", adapter)
    _check_one_of("overflow", overflow, get_args(OverflowPolicy))
    _check_int("sinks", sinks, minimum=0)
    flags = {
        "ignore_eos": ignore_eos,
        "heal": heal,
        "canonical": canonical,
        "confidence": confidence,
    }
    for flag, value in flags.items():
        if not isinstance(value, bool):
            raise ParameterError(flag, f"expected True or False, got {value!r}")
    return Gen(
        name=_checked_name(name),
        constraint=_constraint(
            regex=regex,
            schema=schema,
            grammar=grammar,
            choices=choices,
            dtype=dtype,
            substring_of=substring_of,
            tools=tools,
            tags=tags,
            layout=layout,
            lenient=lenient or None,  # False says nothing
            formats=None if formats == "enforced" else formats,
        ),
        sampling=sampling,
        max_tokens=limit,
        min_tokens=min_tokens,
        stop=_checked_stop(stop),
        stop_regex=_checked_stop_regex(stop_regex),
        stop_token_ids=_checked_token_ids(stop_token_ids),
        n=n,
        ignore_eos=ignore_eos,
        heal=heal,
        canonical=canonical,
        confidence=confidence,
        engine=engine,
        adapter=adapter,
        overflow=overflow,
        sinks=sinks,
    )


def gen_int(name: str | None = None, **options: Any) -> Gen:
    """`gen(name, dtype=int, ...)`: a decimal integer; the variable is an int."""
    return gen(name, dtype=int, **options)


def gen_string(name: str | None = None, **options: Any) -> Gen:
    """`gen(name, dtype=str, ...)`: free text, as a plain `gen`."""
    return gen(name, dtype=str, **options)


def reasoning(
    name: str | None = None, *, begin: str = "<think>\n", end: str = "</think>\n", **options: Any
) -> Concat:
    """Free text between two markers, before an answer: `reasoning("why") + gen("answer", ...)`.

    Both markers are written in any case, so `max_tokens` is a budget: where it runs out, or the
    model ends its turn, the reasoning ends and what comes next in the program goes on. A marker
    that is a control token of the model is written as that token.

    Args:
        name: the variable of the text between the markers.
        begin, end: the markers; `begin` may be empty, where a chat template has already written
            it. White space around `end` is part of what is written, but the generation stops at
            the marker itself.
        options: any argument of `gen` but `stop`.

    Raises ParameterError for a blank `end` or a `stop`, and what `gen` raises.
    """
    if "stop" in options:
        raise ParameterError("stop", "the reasoning stops at its end marker; say that as end=")
    if not isinstance(begin, str):
        raise ParameterError("begin", f"expected a text, got {begin!r:.80}")
    if not isinstance(end, str) or not end.strip():
        raise ParameterError("end", f"expected a marker that is not blank, got {end!r:.80}")
    opening = (Marker(begin),) if begin else ()
    return Concat((*opening, gen(name, stop=end.strip(), **options), Marker(end)))


def select(
    name: str | None,
    choices: Sequence[str],
    method: SelectMethod = "length_normalized",
    temperature: float = 0.0,
    seed: int | None = None,
    adapter: str | None = None,
) -> Select:
    """Continues with the likeliest of `choices`; the variable is the chosen text.

    Args:
        name: the variable; None gives it a name as in `gen`.
        choices: distinct, non-empty texts.
        method: "length_normalized" compares mean log-probabilities per token, "greedy" decides
            token by token, "unconditional" divides out how likely a choice is without the prompt.
        temperature: 0 takes the best; above 0 draws in proportion to exp(score / temperature).
        seed: fixes the draw.
        adapter: the model's LoRA adapter, as for `gen`.

    Raises ParameterError for an empty list, a duplicate, or a value out of its range.
    """
    checked = checked_choices(choices)
    _check_one_of("method", method, get_args(SelectMethod))
    drawn: dict[str, Any] = {"temperature": temperature}
    if seed is not None:
        drawn["seed"] = seed
    _check_numbers(drawn)
    SamplingParams(**drawn)
    if adapter is not None:
        checked_text("adapter", adapter)
    return Select(_checked_name(name), checked, method, temperature, seed, adapter)


def checked_variable(name: object, parameter: str = "name") -> str:
    """`name` if a variable can have it. Raises ParameterError."""
    if not isinstance(name, str) or not name:
        raise ParameterError(parameter, f"expected a non-empty text, got {name!r:.80}")
    if re.fullmatch(r"_\d+", name):
        raise ParameterError(
            parameter, f"{name!r} is kept for generations without a name; choose another"
        )
    return name


def _checked_name(name: object) -> str | None:
    return None if name is None else checked_variable(name)


def _check_int(parameter: str, value: object, minimum: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise ParameterError(parameter, f"expected an integer, {minimum} or more, got {value!r}")


def _check_one_of(parameter: str, value: object, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ParameterError(parameter, f"expected one of {', '.join(allowed)}; got {value!r}")


def _check_numbers(sampling: Mapping[str, Any]) -> None:
    """The types that SamplingParams' range checks take for granted."""
    for parameter, value in sampling.items():
        if parameter == "logit_bias":
            good = isinstance(value, Mapping) and all(
                isinstance(k, int) and isinstance(v, (int, float)) for k, v in value.items()
            )
            expected = "a mapping of token ids to numbers"
        elif parameter in ("top_k", "seed", "logprobs"):
            good, expected = isinstance(value, int) and not isinstance(value, bool), "an integer"
        else:
            good = isinstance(value, (int, float)) and not isinstance(value, bool)
            expected = "a number"
        if not good:
            raise ParameterError(parameter, f"expected {expected}, got {value!r:.80}")


def _checked_stop(stop: object) -> tuple[str, ...]:
    if stop is None:
        return ()
    texts = (stop,) if isinstance(stop, str) else stop
    if not isinstance(texts, Sequence) or not all(isinstance(t, str) and t for t in texts):
        raise ParameterError(
            "stop", f"expected a non-empty text or a list of such, got {stop!r:.80}"
        )
    stop_automata(tuple(texts), None)
    return tuple(texts)


def _checked_stop_regex(pattern: object) -> str | None:
    if pattern is None:
        return None
    if not isinstance(pattern, str):
        raise ParameterError("stop_regex", f"expected an expression, got {pattern!r:.80}")
    stop_automata((), pattern)
    return pattern


def _checked_token_ids(ids: object) -> tuple[int, ...]:
    if ids is None:
        return ()
    if not isinstance(ids, Sequence) or not all(
        isinstance(i, int) and not isinstance(i, bool) and i >= 0 for i in ids
    ):
        raise ParameterError("stop_token_ids", f"expected a list of token ids, got {ids!r:.80}")
    return tuple(ids)


def _constraint(**options: Any) -> Constraint | None:
    given = {name: value for name, value in options.items() if value is not None}
    if not given:
        return None
    # Here and not at the top: compiling pulls in lark and pydantic, which programs
    # without constraints never need.
    from .constraint import constraint_from

    return constraint_from(**given)
