"""A program's parameters as data: for `--arg name=value`, rows of a file, and HTTP arguments.

The annotations of the function are the contract; pydantic checks values against them and prints
them as JSON Schema.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import PydanticInvalidForJsonSchema, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from ..lang.errors import ParameterError, ProgramError
from ..lang.program import Program


@dataclass(frozen=True)
class Parameter:
    """One named parameter of a program; `adapter` checks its values."""

    name: str
    required: bool
    default: object
    adapter: TypeAdapter[Any]

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the values; `{}` (anything) for a type that has none."""
        try:
            return self.adapter.json_schema()
        except (PydanticInvalidForJsonSchema, PydanticUserError):
            return {}

    def describe(self) -> dict[str, Any]:
        """Name, schema, whether it is required and its default, as JSON data."""
        described: dict[str, Any] = {
            "name": self.name,
            "schema": self.schema(),
            "required": self.required,
        }
        if not self.required:
            described["default"] = to_jsonable_python(self.default, fallback=repr)
        return described

    def from_text(self, text: str) -> object:
        """The value that a command line means: the text itself if the type takes it, else JSON."""
        try:
            return self.adapter.validate_python(text)
        except ValidationError as as_text:
            try:
                return self.adapter.validate_json(text)
            except ValidationError:
                raise self._refusal(as_text, text) from as_text

    def from_json(self, value: object) -> object:
        """The value that JSON data means. Raises ParameterError."""
        try:
            return self.adapter.validate_python(value)
        except ValidationError as exc:
            raise self._refusal(exc, value) from exc

    def _refusal(self, exc: ValidationError, value: object) -> ParameterError:
        first = exc.errors(include_url=False)[0]
        where = "".join(f"[{p!r}]" for p in first["loc"])
        shown = repr(value) if len(repr(value)) <= 80 else repr(value)[:77] + "..."
        return ParameterError(
            self.name, f"{where}{': ' if where else ''}{first['msg']}, got {shown}"
        )


class Parameters:
    """All parameters of `program` that can be given by name.

    Raises ProgramError for an annotation that cannot be resolved or that pydantic cannot check.
    """

    def __init__(self, program: Program) -> None:
        self.program_name = program.name
        self.takes_any = False
        self.by_name: dict[str, Parameter] = {}
        hints = _hints(program)
        for name, parameter in program.signature.parameters.items():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                self.takes_any = True
            elif parameter.kind is not inspect.Parameter.VAR_POSITIONAL:
                self.by_name[name] = _parameter(program, parameter, hints)

    def describe(self) -> list[dict[str, Any]]:
        """Every parameter, in the order of the signature."""
        return [parameter.describe() for parameter in self.by_name.values()]

    def from_texts(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Arguments from a command line. Raises ParameterError."""
        self._check_names(texts)
        return {
            name: self.by_name[name].from_text(text) if name in self.by_name else text
            for name, text in texts.items()
        }

    def from_json(self, values: Mapping[str, object]) -> dict[str, Any]:
        """Arguments from JSON data. Raises ParameterError."""
        self._check_names(values)
        return {
            name: self.by_name[name].from_json(value) if name in self.by_name else value
            for name, value in values.items()
        }

    def from_row(self, row: object) -> dict[str, Any]:
        """Arguments from one row of a file: an object by name, an array by position, any other
        value as the only argument. Raises ParameterError."""
        if isinstance(row, dict):
            return self.from_json(row)
        values = row if isinstance(row, list) else [row]
        if len(values) > len(self.by_name):
            raise ParameterError(
                "row", f"{len(values)} values for {len(self.by_name)} parameters: {self._list()}"
            )
        return self.from_json(dict(zip(self.by_name, values, strict=False)))

    def _check_names(self, given: Mapping[str, object]) -> None:
        for name in given:
            if name not in self.by_name and not self.takes_any:
                raise ParameterError(
                    name, f"{self.program_name} has no such parameter; it takes {self._list()}"
                )
        for name, parameter in self.by_name.items():
            if parameter.required and name not in given:
                raise ParameterError(name, f"{self.program_name} requires it; got {list(given)}")

    def _list(self) -> str:
        return ", ".join(self.by_name) or "none"


def _hints(program: Program) -> dict[str, Any]:
    # only the program's own parameters: the state's type may be imported for type checkers alone
    wanted = {
        parameter.name: parameter.annotation
        for parameter in program.signature.parameters.values()
        if parameter.annotation is not inspect.Parameter.empty
    }
    holder = type(program.name, (), {"__annotations__": wanted})
    names = getattr(inspect.unwrap(program.fn), "__globals__", {})
    try:
        return typing.get_type_hints(holder, globalns=names, include_extras=True)
    except NameError as exc:
        raise ProgramError(
            f"{program.name}: an annotation names {exc.name!r}, which its module does not define"
        ) from exc


def _parameter(
    program: Program, parameter: inspect.Parameter, hints: Mapping[str, Any]
) -> Parameter:
    required = parameter.default is inspect.Parameter.empty
    annotation = hints.get(parameter.name, Any)
    if annotation is Any and isinstance(parameter.default, bool | int | float):
        annotation = type(parameter.default)
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    except PydanticUserError as exc:
        raise ProgramError(
            f"{program.name}: no values can be checked against the annotation of "
            f"{parameter.name!r}, {annotation!r}: {exc.message}"
        ) from exc
    return Parameter(parameter.name, required, None if required else parameter.default, adapter)
