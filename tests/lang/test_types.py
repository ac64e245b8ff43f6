"""Python types: their schemas compile, and every text of the grammar is read back as a value."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import random
import sys
import typing
import uuid
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, Optional

import pytest
from pydantic import (
    UUID4,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    IPvAnyAddress,
    PositiveFloat,
    RootModel,
    ValidationError,
    conlist,
    constr,
    field_validator,
)

from treegram.lang.errors import SchemaError
from treegram.lang.grammar import Grammar
from treegram.lang.ir.random_text import random_text
from treegram.lang.json_schema.layout import Layout
from treegram.lang.types.output import output_type


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    tricks: list[str]


class Tree(BaseModel):
    value: int
    left: Optional[Tree] = None  # noqa: UP045 - the form that many models have
    right: Tree | None = None


class Aliased(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    inner: int = Field(alias="theInner")


class Extra(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Forbidding(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: int = 3


class Person(BaseModel):
    name: Annotated[
        str, Field(min_length=1, max_length=80, pattern=r"^[A-Z][a-z]+( [A-Z][a-z]+)*$")
    ]
    age: int = Field(gt=0, lt=130)
    height: float | None = Field(default=None, ge=0.3, le=2.8)
    tags: Annotated[list[Annotated[str, Field(max_length=10)]], Field(max_length=3)] = []
    color: Color = Color.RED
    level: Level


class Formats(BaseModel):
    day: datetime.date
    time: datetime.time
    moment: datetime.datetime
    span: datetime.timedelta
    id: uuid.UUID
    id4: UUID4
    price: Annotated[Decimal, Field(gt=0)]
    url: HttpUrl
    address: IPvAnyAddress
    data: bytes


class Containers(BaseModel):
    pair: tuple[int, str]
    numbers: tuple[int, ...]
    words: set[str]
    colors: frozenset[Color]
    scores: dict[str, int]
    by_number: dict[int, bool]
    by_color: dict[Color, int]
    by_day: dict[datetime.date, int]
    by_pattern: dict[Annotated[str, Field(pattern="^x-[a-z]+$")], int]
    few: conlist(int, min_length=2, max_length=3)  # type: ignore[valid-type]
    code: constr(min_length=2, max_length=5, pattern="^[a-z_]+$")  # type: ignore[valid-type]
    anything: Any = None


class Unions(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    pets: list[Cat | Dog] = []
    choice: Literal["a", 1, True, None] = None
    number: int | float | None = None
    positive: PositiveFloat = 1
    weeks: int = Field(default=7, multiple_of=7, ge=0)


@dataclasses.dataclass
class Point:
    x: int
    tags: list[float] = dataclasses.field(default_factory=list)


class Movie(typing.TypedDict):
    title: str
    year: NotRequired[int]


class Shelf(typing.TypedDict, total=False):
    movies: list[Movie]
    best: Annotated[Movie | None, "a note"]
    worst: NotRequired[Movie]


class Pair(NamedTuple):
    first: int
    second: str = "x"


Numbers = RootModel[list[int]]

TYPES = [
    *(Person, Formats, Containers, Unions, Tree, Aliased, Extra, Forbidding, Point, Movie, Shelf),
    *(Pair, Numbers, Color, Level, Literal["a", 2], list[Cat | Dog], int | None, Tree | None),
    *(dict[str, Tree], bool, Decimal, str, Annotated[int, Field(ge=3)]),
]


@pytest.mark.parametrize("annotation", TYPES, ids=str)
def test_every_text_of_the_grammar_is_a_value(annotation: object) -> None:
    output = output_type(annotation)
    grammar = Grammar.from_schema(output.schema, Layout())
    rng = random.Random(11)
    for _ in range(25):
        text = random_text(grammar.rules, rng, max_depth=8)
        output.parse(text)
        assert grammar.accepts(text)


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (Person, '{"name": "Ada Byron", "age": 36, "level": 2}', None),
        (Point, '{"x": 3, "tags": [0.5]}', Point(3, [0.5])),
        (Movie, '{"title": "Alien", "year": 1979}', {"title": "Alien", "year": 1979}),
        (Pair, '[4, "y"]', Pair(4, "y")),
        (Color, '"blue"', Color.BLUE),
        (Literal["a", 2], "2", 2),
        (list[int], "[1, 2]", [1, 2]),
        (Aliased, '{"theInner": 5}', Aliased(theInner=5)),
        (Tree | None, '{"value": 1, "left": {"value": 2}}', None),
    ],
)
def test_values_come_back_as_their_type(annotation: Any, text: str, value: object) -> None:
    output = output_type(annotation)
    assert Grammar.from_schema(output.schema, Layout()).accepts(text)
    parsed = output.parse(text)
    if value is not None:
        assert parsed == value
    elif isinstance(annotation, type):
        assert isinstance(parsed, annotation)


def test_python_objects_are_closed_and_schemas_are_not() -> None:
    closed = Grammar.from_schema(output_type(Cat).schema, Layout())
    assert not closed.accepts('{"lives": 9, "color": "red"}')
    extra = Grammar.from_schema(output_type(Extra).schema, Layout())
    assert extra.accepts('{"a": 1, "color": "red"}')
    plain = {"type": "object", "properties": {"lives": {"type": "integer"}}}
    grammar = Grammar.from_schema(output_type(plain).schema, Layout())
    assert grammar.accepts('{"lives": 9, "color": 1}')


def test_a_schema_gives_plain_json_values() -> None:
    output = output_type({"type": "object"})
    assert output.parse('{"a": [1, null]}') == {"a": [1, None]}
    for text in ('{"a": 1', "NaN", "", "[" * 100_000 + "]" * 100_000):
        with pytest.raises(ValueError, match=r"."):
            output.parse(text)


def search(query: str, limit: int = 5, *, kind: Literal["web", "news"] = "web") -> None:
    """Only its signature matters."""


def test_a_callable_stands_for_its_keyword_arguments() -> None:
    output = output_type(search)
    grammar = Grammar.from_schema(output.schema, Layout())
    assert grammar.accepts('{"query": "x", "kind": "news"}')
    assert not grammar.accepts('{"kind": "news"}')
    assert not grammar.accepts('{"query": "x", "other": 1}')
    assert output.parse('{"query": "x"}') == {"query": "x", "limit": 5, "kind": "web"}


def test_a_validator_of_the_user_refuses_with_its_own_error() -> None:
    class Even(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def check(cls, n: int) -> int:
            if n % 2:
                raise ValueError("odd")
            return n

    with pytest.raises(ValidationError, match="odd"):
        output_type(Even).parse('{"n": 3}')


class Loop(typing.TypedDict):
    inner: list[Loop]


def no_annotation(a) -> None:  # type: ignore[no-untyped-def]
    """A parameter without a type."""


def star(*values: int) -> None:
    """A parameter that has no name to call it by."""


REFUSED: list[object] = [no_annotation, star, 3, object(), len]
if sys.version_info < (3, 12):  # later, pydantic reads this one too
    REFUSED.append(Loop)


@pytest.mark.parametrize("bad", REFUSED)
def test_what_has_no_schema_is_refused(bad: object) -> None:
    with pytest.raises(SchemaError):
        output_type(bad)


def test_keys_of_a_typed_dict_may_be_optional() -> None:
    grammar = Grammar.from_schema(output_type(Shelf).schema, Layout())
    assert grammar.accepts("{}")
    assert grammar.accepts('{"movies": [{"title": "Alien"}], "best": null}')
    assert not grammar.accepts('{"movies": [{"year": 1979}]}')
    strict = Grammar.from_schema(output_type(Movie).schema, Layout())
    assert not strict.accepts('{"year": 1979}')


def test_schemas_are_json() -> None:
    assert json.loads(json.dumps(output_type(Containers).schema))
