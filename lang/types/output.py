"""Python types as output types: the schema a model must follow, and the value it is read back as.

pydantic does both, so anything that a `TypeAdapter` takes is an output type: models, dataclasses,
TypedDict, NamedTuple, Enum, Literal, unions, containers. A callable stands for its keyword
arguments, and a JSON Schema as a dict for the plain JSON value.

Objects of Python types are closed: pydantic ignores undeclared keys unless a class forbids or
allows them, so a model should not spend tokens on them. A JSON Schema given as a dict means what
the standard says, undeclared keys included.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import or_
from types import UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NoReturn,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from pydantic import BaseModel, Field, PydanticUserError, TypeAdapter, create_model
from pydantic.fields import FieldInfo
from typing_extensions import TypedDict as ModernTypedDict

from ..errors import SchemaError
from .schemas import OutputSchema
from .tools import ToolCall, checked_tools


@dataclass(frozen=True, slots=True)
class OutputType:
    """A JSON Schema and how its texts become values.

    `parse` raises ValueError (pydantic's ValidationError is one) for a text that is no value.
    """

    schema: Mapping[str, object] | bool
    parse: Callable[[str], object]


def output_type(annotation: object) -> OutputType:
    """The schema and the reader of a Python type, a callable's arguments or a JSON Schema.

    Raises SchemaError for what has no JSON Schema.
    """
    if isinstance(annotation, bool | Mapping):
        return OutputType(annotation, _load)
    if inspect.isroutine(annotation) or isinstance(annotation, partial):
        return _arguments(annotation)
    if isinstance(annotation, (str, bytes, int, float, list, set, tuple)):
        raise SchemaError(
            f"expected a type, or a JSON Schema as a dict, got {type(annotation).__name__} "
            f"{annotation!r:.80}; read the text of a schema with json.loads",
            "$",
        )
    return _adapted(_with_modern_typed_dicts(annotation), _name(annotation))


def _with_modern_typed_dicts(annotation: Any, inside: tuple[object, ...] = ()) -> Any:
    """Before Python 3.12, pydantic reads only the TypedDict of typing_extensions."""
    if is_typeddict(annotation) and type(annotation).__module__ == "typing":
        return _modern_typed_dict(annotation, inside)
    args = get_args(annotation)
    modern = tuple(_with_modern_typed_dicts(arg, inside) for arg in args)
    if modern == args:
        return annotation
    origin: Any = get_origin(annotation)
    generic = Union if origin is UnionType else origin
    first, *others = modern
    return generic[modern if others else first]


def _modern_typed_dict(typed: Any, inside: tuple[object, ...]) -> Any:
    name = _name(typed)
    if typed in inside:
        raise SchemaError(
            f"{name} refers to itself; on this Python, import TypedDict from typing_extensions", "$"
        )
    try:
        hints = get_type_hints(typed, include_extras=True)
    except (NameError, TypeError) as error:
        raise SchemaError(f"{name} cannot be an output type: {error}", "$") from error
    fields: dict[str, Any] = {}
    for key, hint in hints.items():
        is_required = key in typed.__required_keys__
        if get_origin(hint) in (Required, NotRequired):
            is_required = get_origin(hint) is Required
            (hint,) = get_args(hint)
        modern = _with_modern_typed_dicts(hint, (*inside, typed))
        fields[key] = modern if is_required else NotRequired[modern]
    make: Any = ModernTypedDict
    return make(typed.__name__, fields)


def _load(text: str) -> object:
    """A JSON value. Raises ValueError for whatever is none, NaN and too deep nesting included."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("the JSON value is nested too deeply to be read") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _name(annotation: object) -> str:
    return getattr(annotation, "__qualname__", None) or repr(annotation)


def _adapted(annotation: Any, name: str) -> OutputType:
    adapter, schema = _adapter(annotation, name)

    def parse(text: str) -> object:
        return adapter.validate_json(text)

    return OutputType(schema, parse)


def _adapter(annotation: Any, name: str) -> tuple[TypeAdapter[Any], dict[str, Any]]:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        return adapter, adapter.json_schema(schema_generator=OutputSchema, mode="validation")
    except Exception as error:  # pydantic lets all kinds through for types that are none
        raise SchemaError(f"{name} cannot be an output type: {_reason(error)}", "$") from error


def _reason(error: Exception) -> str:
    """What pydantic says is wrong, without what is to be done about models."""
    return str(error).partition("\n")[0].partition(" Set `arbitrary_types_allowed")[0]


class Arguments:
    """The keyword arguments of a function, as a pydantic model.

    Raises SchemaError for a parameter that has no type, or that cannot be given by name.
    """

    def __init__(self, function: Callable[..., object]) -> None:
        self.name = _name(function)
        try:
            signature = inspect.signature(function, eval_str=True)
        except (NameError, TypeError, ValueError) as error:
            raise SchemaError(f"{self.name} has no readable signature: {error}", "$") from error
        self._fields: dict[str, str] = {}
        fields: dict[str, Any] = {}
        for number, parameter in enumerate(signature.parameters.values()):
            annotation, default = self._annotation(parameter), parameter.default
            # a parameter may have a name that a model's field cannot, such as `schema` or `_x`
            field, key = f"parameter_{number}", parameter.name
            self._fields[parameter.name] = field
            if isinstance(default, FieldInfo):  # it has the default, and bounds beside it
                annotation, key = Annotated[annotation, default], default.alias or key
                fields[field] = (annotation, Field(alias=key))
            else:
                given = ... if default is parameter.empty else default
                fields[field] = (annotation, Field(given, alias=key))
        title = self.name.replace("<", "").replace(">", "")
        try:
            self.model: type[BaseModel] = create_model(title, **fields)
        except (PydanticUserError, NameError, TypeError) as error:
            raise SchemaError(
                f"{self.name} cannot be called by a model: {_reason(error)}", "$"
            ) from error

    def _annotation(self, parameter: inspect.Parameter) -> Any:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise SchemaError(
                f"{self.name}: the parameter {parameter} cannot be given by name",
                f"$.{parameter.name}",
            )
        if parameter.annotation is parameter.empty:
            raise SchemaError(
                f"{self.name}: the parameter {parameter.name} has no type annotation",
                f"$.{parameter.name}",
            )
        return _with_modern_typed_dicts(parameter.annotation)

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the arguments, as one object."""
        return _adapter(self.model, self.name)[1]

    def values(self, arguments: BaseModel) -> dict[str, object]:
        """The arguments by parameter, with every declared default filled in."""
        return {name: getattr(arguments, field) for name, field in self._fields.items()}


def _arguments(function: Callable[..., object]) -> OutputType:
    arguments = Arguments(function)

    def parse(text: str) -> object:
        return arguments.values(arguments.model.model_validate_json(text))

    return OutputType(arguments.schema(), parse)


def _call_fields(name: str, arguments: Arguments) -> dict[str, Any]:
    return {"name": (Literal[name], ...), "arguments": (arguments.model, ...)}


def tool_type(tools: Sequence[Callable[..., Any]]) -> OutputType:
    """The calls of `tools`, whose texts are `{"name": ..., "arguments": {...}}`, as ToolCalls.

    Raises ParameterError for what is no list of functions with different names, SchemaError for a
    parameter without a type that JSON can hold.
    """
    functions = checked_tools(tools)
    arguments = {name: Arguments(function) for name, function in functions.items()}
    calls: list[Any] = [
        create_model(f"{name}_call", **_call_fields(name, of)) for name, of in arguments.items()
    ]
    adapter, schema = _adapter(reduce(or_, calls), "tools")

    def parse(text: str) -> object:
        call = adapter.validate_json(text)
        values = arguments[call.name].values(call.arguments)
        return ToolCall(call.name, values, functions[call.name])

    return OutputType(schema, parse)
