"""Where a stranger's chat template runs.

Templates come inside model files, so they are programs of strangers. jinja2's immutable sandbox
keeps them from Python's internals, but bounds neither time nor memory. Here every loop step is
counted, and whatever can make a long text out of a short one is checked before or right after.
"""

from __future__ import annotations

import datetime
import functools
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_OUTPUT_CHARS = 16_000_000
MAX_LOOP_STEPS = 2_000_000
MAX_SECONDS = 10.0
MAX_WIDTH = 100_000
MAX_BITS = 4096


class Refused(jinja2.TemplateError):
    """The template called raise_exception()."""


class _Budget:
    """What one rendering may still spend."""

    def __init__(self) -> None:
        self._steps_left = MAX_LOOP_STEPS
        self._chars_left = MAX_OUTPUT_CHARS
        self._deadline = time.monotonic() + MAX_SECONDS

    def step(self) -> None:
        self._steps_left -= 1
        if self._steps_left < 0:
            raise SecurityError(f"its loops run for more than {MAX_LOOP_STEPS} steps")
        if self._steps_left % 1024 == 0 and time.monotonic() > self._deadline:
            raise SecurityError(f"it runs for more than {MAX_SECONDS:g} seconds")

    def add_output(self, n_chars: int) -> None:
        self._chars_left -= n_chars
        if self._chars_left < 0:
            raise SecurityError(f"it writes more than {MAX_OUTPUT_CHARS} characters")


# Not a variable of the template, which could call its methods.
_BUDGET: ContextVar[_Budget] = ContextVar("budget")


def _counted(items: Iterable[Any]) -> Iterable[Any]:
    """Gives the same items, as a list (loop variables need lengths), and counts each."""
    budget = _BUDGET.get()
    if isinstance(items, jinja2.Undefined):
        return items
    taken = []
    for item in items:
        budget.step()
        taken.append(item)
    return taken


def _check_bits(n_bits: int) -> None:
    if n_bits > MAX_BITS:
        raise SecurityError(f"it builds a number of more than {MAX_BITS} bits")


def _sized(value: Any) -> Any:
    """`value`, unless it has grown too long."""
    if isinstance(value, (str, list, tuple)) and len(value) > MAX_OUTPUT_CHARS:
        raise SecurityError(f"it builds a text of more than {MAX_OUTPUT_CHARS} characters")
    if isinstance(value, int):
        _check_bits(value.bit_length())
    return value


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """The sandbox, with loops counted and growth checked."""

    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=False,
            extensions=["jinja2.ext.loopcontrols"],
        )
        self.globals.update(raise_exception=_raise_exception, strftime_now=_strftime_now)
        self.filters.update(tojson=_to_json, treegram_counted=_counted, treegram_sized=_sized)
        for name in ("lipsum", "cycler", "joiner"):
            del self.globals[name]
        for name in ("batch", "slice", "urlize", "wordwrap"):
            del self.filters[name]
        for name in ("center", "indent", "format"):
            self.filters[name] = _bounded(self.filters[name], _check_widths)
        self.filters["join"] = _bounded_join(self.filters["join"])
        self.filters["replace"] = _bounded(
            self.filters["replace"], lambda args: _check_replace(*args[1:4])
        )

    def run(self, template: jinja2.Template, variables: Mapping[str, Any]) -> str:
        """Renders a template of this environment. Raises SecurityError beyond the bounds."""
        budget = _Budget()
        token = _BUDGET.set(budget)
        try:
            parts = []
            for part in template.generate(**variables):
                budget.add_output(len(part))
                parts.append(part)
            return "".join(parts)
        finally:
            _BUDGET.reset(token)

    def unsafe_undefined(self, obj: Any, attribute: str) -> jinja2.Undefined:
        raise SecurityError(f"it reads {attribute!r} of a {type(obj).__name__}")

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template = super()._parse(source, name, filename)
        for loop in list(template.find_all(nodes.For)):
            loop.iter = self._filtered(loop.iter, "treegram_counted")
        _wrap_concats(template, lambda node: self._filtered(node, "treegram_sized"))
        return template

    def _filtered(self, node: nodes.Node, name: str) -> nodes.Filter:
        assert isinstance(node, nodes.Expr)
        return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno, environment=self)

    def call_binop(
        self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any
    ) -> Any:
        if operator == "*":
            for text, number in ((left, right), (right, left)):
                is_repeated = isinstance(text, (str, list, tuple)) and isinstance(number, int)
                if is_repeated and len(text) * number > MAX_OUTPUT_CHARS:
                    raise SecurityError(f"it repeats a text {number} times")
        if operator == "%" and isinstance(left, str):
            _check_widths((left,))
        if operator == "**" and isinstance(left, int) and isinstance(right, int):
            _check_bits(left.bit_length() * right)
        return _sized(super().call_binop(context, operator, left, right))

    def call(self, context: jinja2.runtime.Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        method = getattr(obj, "__wrapped__", obj)  # the sandbox wraps str.format
        text = getattr(method, "__self__", None)
        if isinstance(text, str):
            name = getattr(method, "__name__", "")
            if name == "join" and args:
                args = (list(args[0]), *args[1:])
                _check_join(args[0], text)
            elif name == "replace" and len(args) > 1:
                _check_replace(text, args[0], args[1])
            else:
                _check_widths((text, *args, *kwargs.values()))
        return _sized(super().call(context, obj, *args, **kwargs))


def _wrap_concats(node: nodes.Node, wrap: Callable[[nodes.Node], nodes.Node]) -> None:
    """Replaces each `a ~ b` below `node` by its checked form."""
    for field, value in node.iter_fields():
        if isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, nodes.Node):
                    _wrap_concats(item, wrap)
                    if isinstance(item, nodes.Concat):
                        value[index] = wrap(item)
        elif isinstance(value, nodes.Node):
            _wrap_concats(value, wrap)
            if isinstance(value, nodes.Concat):
                setattr(node, field, wrap(value))


def _check_widths(values: Iterable[Any]) -> None:
    """Refuses numbers that make padding out of nothing, in arguments and in format strings."""
    for value in values:
        if isinstance(value, int) and abs(value) > MAX_WIDTH:
            raise SecurityError(f"it pads a text to {value} characters")
        if isinstance(value, str) and re.search(r"[%{:][^%{}]{0,8}\d{6}", value):
            raise SecurityError("it pads a text to more than 100000 characters")


def _check_join(items: list[Any], separator: Any) -> None:
    if len(items) * len(str(separator)) > MAX_OUTPUT_CHARS:
        raise SecurityError(f"it joins a text of more than {MAX_OUTPUT_CHARS} characters")


def _check_replace(text: Any, old: Any, new: Any) -> None:
    if str(text).count(str(old)) * len(str(new)) > MAX_OUTPUT_CHARS:
        raise SecurityError(f"it builds a text of more than {MAX_OUTPUT_CHARS} characters")


def _bounded(
    original: Callable[..., Any], check: Callable[[tuple[Any, ...]], None]
) -> Callable[..., Any]:
    """A filter behind a check of its arguments; `wraps` keeps jinja2's marks on it."""

    @functools.wraps(original)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        check((*args, *kwargs.values()))
        return _sized(original(*args, **kwargs))

    return bounded


def _bounded_join(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def bounded(
        context: Any, value: Iterable[Any], d: str = "", attribute: str | int | None = None
    ) -> Any:
        items = list(value)
        _check_join(items, d)
        return _sized(original(context, items, d, attribute))

    return bounded


def _raise_exception(message: object = "") -> None:
    raise Refused(str(message))


def _strftime_now(form: str) -> str:
    return datetime.datetime.now().strftime(form)


def _to_json(
    value: Any,
    indent: int | None = None,
    ensure_ascii: bool = False,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as models were trained on: jinja2's own filter would escape `<`, `>` and `&`."""
    if isinstance(value, Mapping):
        value = dict(value)
    return json.dumps(
        value, indent=indent, ensure_ascii=ensure_ascii, separators=separators, sort_keys=sort_keys
    )
