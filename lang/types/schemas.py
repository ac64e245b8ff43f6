"""JSON Schemas of Python types: pydantic's own, made to say exactly what pydantic reads.

pydantic's schemas describe its types to people. As constraints they say too much in places (a
network with host bits, an Enum of tuples, keys of a dict that are no numbers) and too little in
others (extra keys that nobody asked for). Here each is narrowed to texts that pydantic accepts, as
far as a schema can say it: what only pydantic knows, such as a bound on a time or a validator of
the user's own, is checked when the value is read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from enum import Enum
from typing import Any
from zoneinfo import available_timezones

from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic.types import ByteSize, EncodedStr, PaymentCardNumber
from pydantic_core import SchemaValidator, ValidationError, core_schema, to_json

from . import patterns as patterns

MAX_LISTED_KEYS = 1000
"""Integers that the keys of a dict may be, where they are bounded."""

_MAX_QUOTIENT_DIGITS = 12
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_DATA_KEYWORDS = frozenset({"enum", "const", "default", "examples"})


class OutputSchema(GenerateJsonSchema):
    """Schemas of what is worth generating.

    Objects are closed unless their class asks for extra keys, and keys of a dict are spelled as
    its key type is. Raises PydanticInvalidForJsonSchema for a type that no JSON text can give.
    """

    ignored_warning_kinds = {  # noqa: RUF012 - as in the base class
        "skipped-choice",
        "non-serializable-default",
    }

    def generate(
        self, schema: core_schema.CoreSchema, mode: JsonSchemaMode = "validation"
    ) -> JsonSchemaValue:
        json_schema = super().generate(schema, mode)
        _spell_formats(json_schema)
        return json_schema

    def generate_inner(self, schema: Any) -> JsonSchemaValue:
        function = schema.get("function")
        called = function.get("function") if isinstance(function, dict) else None
        if getattr(called, "__name__", "") == "import_string":
            raise PydanticInvalidForJsonSchema(
                "ImportString would import whatever a model writes; use a Literal of names"
            )
        return super().generate_inner(schema)

    def function_after_schema(
        self, schema: core_schema.AfterValidatorFunctionSchema
    ) -> JsonSchemaValue:
        """Of pydantic's own types, what their validators ask for."""
        json_schema = super().function_after_schema(schema)
        owner = getattr(schema["function"]["function"], "__self__", None)
        if isinstance(owner, EncodedStr) and owner.encoder.get_json_format().startswith("base64"):
            # what is decoded must be UTF-8, as all of ASCII is
            json_schema.setdefault("allOf", []).append({"pattern": patterns.BASE64_OF_ASCII})
        elif isinstance(owner, type) and issubclass(owner, ByteSize):
            sizes = {"type": "string", "pattern": patterns.BYTE_SIZE}
            json_schema = {"anyOf": [{"type": "integer", "minimum": 0}, sizes]}
        elif isinstance(owner, type) and issubclass(owner, PaymentCardNumber):
            raise PydanticInvalidForJsonSchema(
                "PaymentCardNumber has a check digit, which has no grammar here; use a str with a "
                "pattern, and validate it afterwards"
            )
        return json_schema

    # Objects

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        return _closed(super().model_schema(schema))

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        return _closed(super().dataclass_schema(schema))

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> JsonSchemaValue:
        return _closed(super().typed_dict_schema(schema))

    def model_field_schema(self, schema: core_schema.ModelField) -> JsonSchemaValue:
        _refuse_paths(schema.get("validation_alias"))
        return super().model_field_schema(schema)

    def dataclass_field_schema(self, schema: core_schema.DataclassField) -> JsonSchemaValue:
        _refuse_paths(schema.get("validation_alias"))
        return super().dataclass_field_schema(schema)

    def typed_dict_field_schema(self, schema: core_schema.TypedDictField) -> JsonSchemaValue:
        _refuse_paths(schema.get("validation_alias"))
        return super().typed_dict_field_schema(schema)

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        json_schema = super().dict_schema(schema)
        if "patternProperties" in json_schema:
            json_schema["additionalProperties"] = False
        elif "propertyNames" not in json_schema and "keys_schema" in schema:
            names = _key_names(self.generate_inner(schema["keys_schema"]))
            if names is not None:
                json_schema["propertyNames"] = names
        return json_schema

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        """pydantic looks at the tag alone: it must be there, and a second choice may fit too."""
        json_schema = super().tagged_union_schema(schema)
        choices = json_schema["oneOf"]
        tag = json_schema.get("discriminator", {}).get("propertyName")
        if tag is not None:
            choices = [{"allOf": [choice, {"required": [tag]}]} for choice in choices]
        return {"anyOf": choices}

    # Values from a list

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        for member in schema["members"]:
            _refuse_unreadable(schema, member)
        return super().enum_schema(schema)

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        for value in schema["expected"]:
            _refuse_unreadable(schema, value)
        return super().literal_schema(schema)

    # Strings and what is written as one

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        json_schema = super().str_schema(schema)
        if "pattern" in json_schema:
            json_schema["pattern"] = patterns.unicode_exclusions(json_schema["pattern"])
        if schema.get("strip_whitespace", self._config.str_strip_whitespace):
            json_schema["allOf"] = [{"pattern": patterns.STRIPPED}]
        if schema.get("ascii_only"):
            json_schema.setdefault("allOf", []).append({"pattern": r"^[\x00-\x7f]*$"})
        return json_schema

    def bytes_schema(self, schema: core_schema.BytesSchema) -> JsonSchemaValue:
        low, high = schema.get("min_length", 0), schema.get("max_length")
        match self._config.val_json_bytes:
            case "base64":
                return {"type": "string", "pattern": f"^({patterns.base64_url_of(low, high)})$"}
            case "hex":
                return {"type": "string", "pattern": f"^({patterns.hex_of(low, high)})$"}
            case _:
                json_schema = super().bytes_schema(schema)
                del json_schema["format"]
                if low or high is not None:  # a length in bytes: one for each ASCII character
                    json_schema["pattern"] = r"^[\x00-\x7f]*$"
                return json_schema

    def date_schema(self, schema: core_schema.DateSchema) -> JsonSchemaValue:
        json_schema = super().date_schema(schema)
        if json_schema.get("format") != "date":
            return json_schema
        least, most = schema.get("ge"), schema.get("le")
        above, below = schema.get("gt"), schema.get("lt")
        bounds = [
            *([patterns.dates_from(least)] if least else []),
            *([patterns.dates_to(most)] if most else []),
            *([patterns.dates_from(above, strictly=True)] if above else []),
            *([patterns.dates_to(below, strictly=True)] if below else []),
        ]
        if bounds:
            json_schema["allOf"] = [{"pattern": pattern} for pattern in bounds]
        return json_schema

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:
        pattern = patterns.datetime_pattern(_timezone(schema))
        return {"type": "string", "pattern": pattern}

    def time_schema(self, schema: core_schema.TimeSchema) -> JsonSchemaValue:
        return {"type": "string", "pattern": patterns.time_pattern(_timezone(schema))}

    def timedelta_schema(self, schema: core_schema.TimedeltaSchema) -> JsonSchemaValue:
        json_schema = super().timedelta_schema(schema)
        if json_schema.get("format") != "duration":
            return json_schema
        return {"type": "string", "pattern": patterns.DURATION}

    def url_schema(self, schema: core_schema.UrlSchema) -> JsonSchemaValue:
        json_schema = super().url_schema(schema)
        pattern = patterns.url_pattern(schema.get("allowed_schemes"), schema.get("max_length"))
        return json_schema if pattern is None else {"type": "string", "pattern": pattern}

    def multi_host_url_schema(self, schema: core_schema.MultiHostUrlSchema) -> JsonSchemaValue:
        pattern = patterns.url_pattern(schema.get("allowed_schemes"), schema.get("max_length"))
        json_schema = super().multi_host_url_schema(schema)
        return json_schema if pattern is None else {"type": "string", "pattern": pattern}

    def complex_schema(self, schema: core_schema.ComplexSchema) -> JsonSchemaValue:
        return {"type": "string", "pattern": patterns.COMPLEX}

    def is_subclass_schema(self, schema: core_schema.IsSubclassSchema) -> JsonSchemaValue:
        raise PydanticInvalidForJsonSchema("a class has no JSON; use a Literal of names")

    def json_schema(self, schema: core_schema.JsonSchema) -> JsonSchemaValue:
        raise PydanticInvalidForJsonSchema(
            "Json[...] is JSON inside a string, which has no grammar; use the type in it directly"
        )

    # Numbers

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """A number; also a string, which loses no digit, where nothing compares the value."""
        numbers: list[JsonSchemaValue] = [
            {**self._bounds(schema), **digits} for digits in _digits(schema)
        ]
        if any(key in schema for key in ("ge", "gt", "le", "lt", "multiple_of")):
            return numbers[0] if len(numbers) == 1 else {"anyOf": numbers}
        return {"anyOf": [*numbers, {"type": "string", "pattern": _decimal_pattern(schema)}]}

    def _bounds(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        names = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum"}
        names |= {"lt": "exclusiveMaximum", "multiple_of": "multipleOf"}
        bounds: JsonSchemaValue = {"type": "number"}
        for key, name in names.items():
            value: Any = schema.get(key)
            if value is not None:
                bounds[name] = int(value) if value == int(value) else float(value)
        if "multipleOf" in bounds:  # pydantic divides, which takes all digits of the quotient
            limit = 10**_MAX_QUOTIENT_DIGITS * bounds["multipleOf"]
            if "minimum" not in bounds and "exclusiveMinimum" not in bounds:
                bounds["minimum"] = -limit
            if "maximum" not in bounds and "exclusiveMaximum" not in bounds:
                bounds["maximum"] = limit
        return bounds


def _closed(json_schema: JsonSchemaValue) -> JsonSchemaValue:
    if json_schema.get("type") == "object":
        json_schema.setdefault("additionalProperties", False)
    return json_schema


def _refuse_paths(alias: str | Sequence[str | int] | Sequence[Sequence[str | int]] | None) -> None:
    """Raises for a field that has no key of its own: with an AliasPath and no alias beside it."""
    if alias is None or isinstance(alias, str):
        return
    paths = [alias] if isinstance(alias[0], str) else alias
    if not any(isinstance(path, Sequence) and len(path) == 1 for path in paths):
        path = ", ".join(map(repr, paths[0]))  # type: ignore[arg-type]  # a path, as it has no key
        raise PydanticInvalidForJsonSchema(
            f"AliasPath({path}) takes a value out of another one, which has no place of its own in "
            "the text; give the field a plain alias beside it, with AliasChoices"
        )


def _refuse_unreadable(schema: core_schema.CoreSchema, value: object) -> None:
    """Raises for a member of an Enum or Literal that pydantic cannot read back from JSON."""
    plain = value.value if isinstance(value, Enum) else value
    try:
        SchemaValidator(schema).validate_json(to_json(plain))
    except ValidationError as error:
        raise PydanticInvalidForJsonSchema(
            f"{value!r} is written as {json.dumps(json.loads(to_json(plain)))} in JSON, which "
            "pydantic does not read back as this member; give it a string, number or None"
        ) from error


def _key_names(key: JsonSchemaValue) -> JsonSchemaValue | None:
    """The schema of the keys, as strings, of which the key type's own schema is `key`."""
    listed = [key["const"]] if "const" in key else key.get("enum")
    if listed is not None and "$ref" not in key:
        return {"enum": _key_texts(listed)}
    match key.get("type"):
        case "integer":
            return _integer_keys(key)
        case "number":
            return {"pattern": patterns.NUMBER}
        case "boolean":
            return {"enum": ["true", "false"]}
        case "string":
            keywords = ("pattern", "format", "allOf", "enum", "const")
            return key if any(keyword in key for keyword in keywords) else None
        case "array" | "object" | "null":
            raise PydanticInvalidForJsonSchema(
                f"the keys of a dict are strings in JSON, and pydantic reads no {key['type']} from "
                "one; use a list of pairs"
            )
        case _:
            options = [option for option in key.get("anyOf", []) if option.get("type") == "string"]
            return options[0] if options else None


def _key_texts(listed: Sequence[object]) -> list[str]:
    """Those of a Literal's values that pydantic reads from a key."""
    texts = [value for value in listed if isinstance(value, str)]
    if not texts:
        raise PydanticInvalidForJsonSchema(
            f"the keys of a dict are strings in JSON, and pydantic reads none of {listed!r:.80} "
            "from one; use an Enum, or strings"
        )
    return texts


def _integer_keys(key: JsonSchemaValue) -> JsonSchemaValue:
    """The texts of integers, which are listed if they are bounded."""
    bounds = {name: value for name, value in key.items() if name in _BOUNDS}
    if not bounds:
        return {"pattern": patterns.INTEGER}
    least = max(key.get("minimum", -math.inf), key.get("exclusiveMinimum", -math.inf) + 1)
    most = min(key.get("maximum", math.inf), key.get("exclusiveMaximum", math.inf) - 1)
    if not most - least < MAX_LISTED_KEYS:
        raise PydanticInvalidForJsonSchema(
            f"integers as keys are listed where they are bounded: at most {MAX_LISTED_KEYS:,}, and "
            f"both bounds are needed, not {bounds}"
        )
    step = key.get("multipleOf", 1)
    return {"enum": [str(n) for n in range(least, most + 1) if n % step == 0]}


def _timezone(schema: core_schema.DatetimeSchema | core_schema.TimeSchema) -> str | None:
    constraint = schema.get("tz_constraint")
    return (
        constraint if isinstance(constraint, str) else "aware" if constraint is not None else None
    )


def _digits(schema: core_schema.DecimalSchema) -> list[JsonSchemaValue]:
    """The numbers that max_digits and decimal_places leave, as alternatives."""
    digits, places = schema.get("max_digits"), schema.get("decimal_places")
    if digits is None:
        return [{} if places is None else {"multipleOf": _step(places)}]
    shapes = []
    for fraction in [places] if places is not None else range(digits + 1):
        limit = 10 ** max(digits - fraction, 0)
        step = {"multipleOf": _step(fraction)}
        shapes.append({**step, "exclusiveMinimum": -limit, "exclusiveMaximum": limit})
    return shapes


def _step(places: int) -> int | float:
    return 1 if places == 0 else float(f"1e-{places}")


def _decimal_pattern(schema: core_schema.DecimalSchema) -> str:
    digits, places = schema.get("max_digits"), schema.get("decimal_places")
    if digits is None and places is None:
        return r"^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d{1,3})?$"
    shapes = []
    for fraction in [places] if places is not None else range((digits or 0) + 1):
        whole = "" if digits is None else f"{{0,{max(digits - fraction - 1, 0)}}}"
        integer = rf"(0|[1-9]\d{whole or '*'})"
        if digits is not None and digits <= fraction:
            integer = "0"
        shapes.append(integer + (rf"(\.\d{{1,{fraction}}})?" if fraction else ""))
    return f"^-?({'|'.join(shapes)})$"


def _spell_formats(node: Any) -> None:
    """Puts patterns in the place of pydantic's own formats, everywhere in a schema."""
    if isinstance(node, list):
        for item in node:
            _spell_formats(item)
        return
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key not in _DATA_KEYWORDS:
            _spell_formats(value)
    name = node.get("format")
    if name == "zoneinfo":
        node["enum"] = sorted(available_timezones())
    if isinstance(name, str) and name in patterns.FORMATS:
        del node["format"]
        pattern = patterns.FORMATS[name]
        if pattern is not None:
            node.setdefault("allOf", []).append({"pattern": f"^({pattern})$"})
