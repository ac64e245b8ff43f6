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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import (
    Any,
    NoReturn,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, create_model
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema
from typing_extensions import TypedDict as ModernTypedDict

from .errors import SchemaError

_INTEGER_KEY = "^(0|-?[1-9][0-9]{0,18})$"


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
    if inspect.isroutine(annotation):
        return _arguments(annotation)
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
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        schema = adapter.json_schema(by_alias=True, schema_generator=_Generated, mode="validation")
    except (PydanticUserError, NameError, TypeError) as error:
        raise SchemaError(f"{name} cannot be an output type: {error}", "$") from error

    def parse(text: str) -> object:
        return adapter.validate_json(text)

    return OutputType(schema, parse)


def _arguments(function: Callable[..., object]) -> OutputType:
    """Keyword arguments of `function`: a dict with every declared default filled in."""
    name = _name(function)
    try:
        signature = inspect.signature(function, eval_str=True)
    except (NameError, TypeError, ValueError) as error:
        raise SchemaError(f"{name} has no readable signature: {error}", "$") from error
    fields: dict[str, Any] = {}
    for parameter in signature.parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise SchemaError(
                f"{name}: the parameter {parameter} cannot be given by name", f"$.{parameter.name}"
            )
        if parameter.annotation is parameter.empty:
            raise SchemaError(
                f"{name}: the parameter {parameter.name} has no type annotation",
                f"$.{parameter.name}",
            )
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (parameter.annotation, default)
    model = create_model(
        name.replace("<", "").replace(">", ""),
        __config__=ConfigDict(arbitrary_types_allowed=False, protected_namespaces=()),
        **fields,
    )
    adapted = _adapted(model, name)

    def parse(text: str) -> object:
        values = model.model_validate_json(text)
        return {field: getattr(values, field) for field in fields}

    return OutputType(adapted.schema, parse)


class _Generated(GenerateJsonSchema):
    """pydantic's schemas, narrowed to the texts worth generating.

    Objects are closed unless their class asks for extra keys, and keys of a dict are spelled as
    its key type is. A set may be written with an item repeated, as pydantic reads it. A Decimal is
    a number, not any string as well; its digits are counted by pydantic when it is read.
    """

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        return _closed(super().model_schema(schema))

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        return _closed(super().dataclass_schema(schema))

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> JsonSchemaValue:
        return _closed(super().typed_dict_schema(schema))

    def set_schema(self, schema: core_schema.SetSchema) -> JsonSchemaValue:
        return _repeatable(super().set_schema(schema))

    def frozenset_schema(self, schema: core_schema.FrozenSetSchema) -> JsonSchemaValue:
        return _repeatable(super().frozenset_schema(schema))

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        json_schema = super().dict_schema(schema)
        if "patternProperties" in json_schema:
            json_schema["additionalProperties"] = False
        elif "propertyNames" not in json_schema and "keys_schema" in schema:
            key = self.generate_inner(schema["keys_schema"])
            if key.get("type") == "integer":
                json_schema["propertyNames"] = {"pattern": _INTEGER_KEY}
            elif "format" in key:
                json_schema["propertyNames"] = key
        return json_schema

    def url_schema(self, schema: core_schema.UrlSchema) -> JsonSchemaValue:
        json_schema = super().url_schema(schema)
        if set(schema.get("allowed_schemes", ())) == {"http", "https"}:
            json_schema["format"] = "http-url"
        return json_schema

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        json_schema = super().decimal_schema(schema)
        options = json_schema.get("anyOf", [])
        return next((o for o in options if o.get("type") == "number"), json_schema)


def _closed(json_schema: JsonSchemaValue) -> JsonSchemaValue:
    if json_schema.get("type") == "object":
        json_schema.setdefault("additionalProperties", False)
    return json_schema


def _repeatable(json_schema: JsonSchemaValue) -> JsonSchemaValue:
    if json_schema.get("minItems", 0) <= 1:
        json_schema.pop("uniqueItems", None)
    return json_schema
