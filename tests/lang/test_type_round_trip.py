"""Python types, both ways: pydantic reads every text of the grammar, and the grammar holds every
text that pydantic writes for a value of the type."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import enum
import ipaddress
import json
import random
import typing
import uuid
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    AliasChoices,
    AliasPath,
    AnyUrl,
    AwareDatetime,
    Base64Bytes,
    Base64Str,
    Base64UrlStr,
    BaseModel,
    ByteSize,
    ConfigDict,
    Discriminator,
    Field,
    FileUrl,
    HttpUrl,
    ImportString,
    Json,
    NaiveDatetime,
    PostgresDsn,
    RootModel,
    SecretStr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    computed_field,
    condecimal,
    model_validator,
)
from pydantic import Tag as PydanticTag
from pydantic.alias_generators import to_camel
from pydantic.types import PaymentCardNumber
from typing_extensions import TypedDict

from treegram.lang.constraint import constraint_from
from treegram.lang.errors import SchemaError
from treegram.lang.grammar import Grammar
from treegram.lang.ir.random_text import random_text
from treegram.lang.types.output import output_type

T = TypeVar("T")


class F(enum.IntFlag):
    READ = 1
    WRITE = 2


TagsOf = collections.defaultdict[str, collections.Counter[str]]


class Lengths(BaseModel):
    model_config = ConfigDict(val_json_bytes="base64", ser_json_bytes="base64")
    data: Annotated[bytes, Field(min_length=2, max_length=7)]


class HexLengths(BaseModel):
    model_config = ConfigDict(val_json_bytes="hex", ser_json_bytes="hex")
    data: Annotated[bytes, Field(min_length=2)]


class Plain(enum.Enum):
    A = "a"
    B = 2
    C = 1.5
    D = None
    E = True
    F = "ключ 🗝"


class Number(enum.IntEnum):
    ONE = 1
    TWO = 2


class Word(enum.StrEnum):
    X = "x"
    Y = 'quo"te'


class Page(BaseModel, Generic[T]):
    items: list[T]
    next: Page[T] | None = None


class Named(NamedTuple):
    a: int
    b: str = "x"
    c: list[int] = []  # noqa: RUF012


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)
    first_name: str
    last_seen: datetime.date | None = None


class ByName(BaseModel):
    model_config = ConfigDict(validate_by_alias=False, validate_by_name=True)
    a: int = Field(alias="A")


class Choices(BaseModel):
    a: int = Field(validation_alias=AliasChoices(AliasPath("x", 0), "b", "c"))


class Node(BaseModel):
    value: Annotated[str, StringConstraints(pattern=r"^\D{1,4}$")]
    children: list[Node] = Field(default_factory=list, max_length=3)


class Left(BaseModel):
    kind: Literal["left"]
    n: int


class Right(BaseModel):
    kind: Literal["right", "other"]
    s: str


class Leaf(BaseModel):
    kind: Literal["leaf"]


def by_shape(value: Any) -> str:
    has_n = "n" in value if isinstance(value, dict) else hasattr(value, "n")
    return "left" if has_n else "right"


class Typed(TypedDict, total=False):
    a: typing.Required[int]
    b: list[Annotated[str, Field(max_length=3)]]


class Encoded(BaseModel):
    model_config = ConfigDict(val_json_bytes="base64", ser_json_bytes="base64")
    data: bytes


class Hexed(BaseModel):
    model_config = ConfigDict(val_json_bytes="hex", ser_json_bytes="hex")
    data: bytes


class Stripped(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)
    text: Annotated[str, Field(min_length=1, max_length=5)]


@dataclasses.dataclass(frozen=True)
class Frozen:
    n: int
    tags: frozenset[str] = frozenset()


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, int] = Field(init=False)  # pyright: ignore[reportIncompatibleVariableOverride]  # as pydantic documents it
    a: str


STRIPPED = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=2, to_lower=True, pattern=r"^[^\d\s]\S*$"),
]
UNION = Annotated[Left | Annotated[Right | Leaf, Field(discriminator="kind")], Field()]
SHAPES = Annotated[
    Annotated[Left, PydanticTag("left")] | Annotated[Right, PydanticTag("right")],
    Discriminator(by_shape),
]
ROOT = RootModel[dict[str, list[int]]]
DAYS = Annotated[datetime.date, Field(ge=datetime.date(2019, 9, 28))]
FEW_DAYS = Annotated[
    datetime.date, Field(gt=datetime.date(1999, 12, 31), lt=datetime.date(2000, 3, 1))
]
DIGITS = Annotated[Decimal, Field(max_digits=5, decimal_places=2)]
SOME_DIGITS = Annotated[Decimal, Field(max_digits=3)]

TYPES: list[Any] = [
    *(Plain, Number, Word, Page[int], Page[Word], Named, Camel, ByName, Choices, Node, Typed),
    *(Encoded, Hexed, Stripped, Frozen, Open, UNION, SHAPES, STRIPPED, list[Left | Right]),
    *(datetime.datetime, datetime.date, datetime.time, datetime.timedelta),
    *(AwareDatetime, NaiveDatetime, uuid.UUID, Decimal, DIGITS, SOME_DIGITS, Path, bytes),
    *(Annotated[Decimal, Field(gt=0, le=10)], Annotated[Decimal, Field(multiple_of=5)]),
    *(ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network, ipaddress.IPv6Network),
    *(ipaddress.IPv4Interface, ipaddress.IPv6Interface, HttpUrl, AnyUrl, Base64Bytes, SecretStr),
    *(set[int], frozenset[Word], Annotated[set[str], Field(min_length=2, max_length=3)]),
    *(tuple[int, ...], tuple[int, str | None], tuple[()], collections.deque[int]),
    *(dict[int, int], dict[float, int], dict[bool, int], dict[Word, int], dict[uuid.UUID, int]),
    *(dict[Decimal, int], dict[Literal["a", "b"], int], dict[datetime.date, Named]),
    *(
        dict[Annotated[str, Field(max_length=2)], int],
        Annotated[dict[str, int], Field(max_length=2)],
    ),
    *(Literal["a", 1, True, None, Word.X], Annotated[float, Field(ge=0, lt=1)]),
    *(Annotated[int, Field(multiple_of=7, gt=-50, lt=50)], ROOT),
    *(complex, Fraction, ZoneInfo, PostgresDsn, FileUrl, F, TagsOf),
    *(dict[Annotated[int, Field(ge=3, lt=12, multiple_of=3)], int], dict[Number, int]),
    *(dict[Literal[1, "a"], int], condecimal(multiple_of=Decimal("0.05"))),
    *(Annotated[bytes, Field(min_length=2, max_length=4)], Lengths, HexLengths),
    *(typing.Sequence[int], typing.Mapping[str, bool], collections.OrderedDict[str, int]),
    *(DAYS, FEW_DAYS, Base64Str, Base64UrlStr, ByteSize, dict[DAYS, ByteSize]),
]


@pytest.mark.parametrize("annotation", TYPES, ids=str)
def test_pydantic_reads_every_text_of_the_grammar(annotation: Any) -> None:
    constraint = constraint_from(schema=annotation)
    assert constraint is not None
    assert not constraint.grammar.notes
    rng = random.Random(17)
    for _ in range(30):
        constraint.parse(random_text(constraint.grammar.rules, rng, max_depth=8))


IPV4 = st.ip_addresses(v=4)
NETWORKS = st.builds(
    lambda a, n: ipaddress.ip_network((a, n), strict=False), IPV4, st.integers(0, 32)
)
ADDRESSES6 = st.ip_addresses(v=6)
OFFSETS: st.SearchStrategy[Any] = st.none() | st.integers(-1439, 1439).map(
    lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes))
)
MOMENTS = st.datetimes(timezones=OFFSETS, min_value=datetime.datetime(1900, 1, 1))
SPANS = st.timedeltas(
    min_value=datetime.timedelta(days=-900_000), max_value=datetime.timedelta(days=900_000)
)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30)
TEXT = st.text(max_size=5)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    Plain: st.sampled_from(Plain),
    Word: st.sampled_from(Word),
    Named: st.builds(Named, st.integers(), TEXT, st.lists(st.integers(), max_size=2)),
    Typed: st.fixed_dictionaries(
        {"a": st.integers()}, optional={"b": st.lists(st.text(max_size=3))}
    ),
    Frozen: st.builds(Frozen, st.integers(), st.frozensets(TEXT, max_size=3)),
    Encoded: st.builds(Encoded, data=st.binary(max_size=9)),
    Hexed: st.builds(Hexed, data=st.binary(max_size=9)),
    datetime.datetime: MOMENTS,
    datetime.date: st.dates(),
    datetime.time: st.times(),
    datetime.timedelta: SPANS,
    uuid.UUID: st.uuids(),
    Decimal: DECIMALS,
    DIGITS: st.decimals(-999, 999, places=2),
    Path: TEXT.map(Path),
    ipaddress.IPv4Address: IPV4,
    ipaddress.IPv6Address: ADDRESSES6,
    ipaddress.IPv4Network: NETWORKS,
    ipaddress.IPv4Interface: st.builds(
        ipaddress.IPv4Interface, st.tuples(IPV4, st.integers(0, 32))
    ),
    ipaddress.IPv6Interface: st.builds(
        ipaddress.IPv6Interface, st.tuples(ADDRESSES6, st.integers(0, 128))
    ),
    Lengths: st.builds(Lengths, data=st.binary(min_size=2, max_size=7)),
    HexLengths: st.builds(HexLengths, data=st.binary(min_size=2, max_size=7)),
    Fraction: st.fractions(max_denominator=10**9),
    complex: st.complex_numbers(max_magnitude=10**9, allow_nan=False).filter(lambda z: z.real != 0),
    ZoneInfo: st.sampled_from(["UTC", "Europe/Berlin", "Asia/Tokyo"]).map(ZoneInfo),
    F: st.sampled_from([F.READ, F.WRITE]),
    set[int]: st.sets(st.integers(), max_size=6),
    tuple[int, str | None]: st.tuples(st.integers(), TEXT | st.none()),
    dict[int, int]: st.dictionaries(st.integers(-(10**18), 10**18), st.integers()),
    dict[uuid.UUID, int]: st.dictionaries(st.uuids(), st.integers()),
    dict[datetime.date, Named]: st.dictionaries(st.dates(), st.builds(Named, st.integers())),
    Literal["a", 1, True, None, Word.X]: st.sampled_from(["a", 1, True, None, Word.X]),
    ROOT: st.dictionaries(TEXT, st.lists(st.integers())).map(ROOT),
    DAYS: st.dates(min_value=datetime.date(2019, 9, 28)),
    FEW_DAYS: st.dates(datetime.date(2000, 1, 1), datetime.date(2000, 2, 29)),
    Base64Str: st.text(st.characters(codec="ascii"), max_size=7),
    Base64UrlStr: st.text(st.characters(codec="ascii"), max_size=7),
    ByteSize: st.integers(0, 10**15).map(ByteSize),
}


@pytest.mark.parametrize("annotation", VALUES, ids=str)
def test_the_grammar_holds_what_pydantic_writes(annotation: Any) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    grammar = Grammar.from_schema(annotation)

    @settings(max_examples=25)
    @given(VALUES[annotation])
    def check(value: Any) -> None:
        text = adapter.dump_json(value).decode()
        assert grammar.accepts(text)
        assert grammar.accepts(json.dumps(json.loads(text), indent=1))

    check()


def test_bounds_on_dates_are_exact() -> None:
    days = [datetime.date(1999, 12, 25) + datetime.timedelta(days=n) for n in range(0, 800, 3)]
    bounds = [days[2], datetime.date(2000, 2, 29), datetime.date(2001, 9, 30), datetime.date.max]
    for bound in bounds:
        for name in ("ge", "gt", "le", "lt"):
            bounds_of: dict[str, Any] = {name: bound}
            within = Annotated[datetime.date, Field(**bounds_of)]
            try:
                grammar = Grammar.from_schema(within)
            except SchemaError:
                assert (name, bound) == ("gt", datetime.date.max), "no date is later"
                continue
            adapter: TypeAdapter[Any] = TypeAdapter(within)
            for day in (bound, *days):
                text = json.dumps(day.isoformat())
                try:
                    adapter.validate_json(text)
                except ValidationError:
                    assert not grammar.accepts(text), (name, bound, day)
                else:
                    assert grammar.accepts(text), (name, bound, day)


@pytest.mark.parametrize(
    "text", ["2001:db8::/32", "::/0", "fe80::/10", "2001:db8:0:8000::/49", "::1/128", "::1"]
)
def test_networks_of_ipv6(text: str) -> None:
    network = json.dumps(text)
    assert Grammar.from_schema(ipaddress.IPv6Network).accepts(network)
    TypeAdapter(ipaddress.IPv6Network).validate_json(network)


class Unreadable(enum.Enum):
    PAIR = (1, 2)


class Away(BaseModel):
    a: int = Field(validation_alias=AliasPath("x", 0))


REFUSED: dict[Any, str] = {
    Unreadable: "PAIR",
    Literal[b"x"]: "does not read back",
    Away: "AliasPath",
    Json[int]: "inside a string",
    dict[tuple[int, int], str]: "list of pairs",
    Callable[[int], int]: "output type",
    dict[Literal[1, 2], int]: "reads none of",
    dict[Annotated[int, Field(ge=0)], int]: "both bounds are needed",
    type[int]: "a class has no JSON",
    Literal[()]: "cannot be empty",
    PaymentCardNumber: "check digit",
    ImportString: "import whatever",
    ImportString[int]: "import whatever",
}


@pytest.mark.parametrize(("annotation", "words"), REFUSED.items(), ids=str)
def test_what_no_json_text_gives_is_refused_with_the_reason(annotation: Any, words: str) -> None:
    with pytest.raises(SchemaError, match=words):
        output_type(annotation)


def test_a_validator_of_the_user_is_asked_when_the_text_is_read() -> None:
    class Range(BaseModel):
        low: int
        high: int

        @model_validator(mode="after")
        def ordered(self) -> Range:
            if self.low > self.high:
                raise ValueError("low is above high")
            return self

        @computed_field  # type: ignore[prop-decorator]
        @property
        def size(self) -> int:
            return self.high - self.low

    output = output_type(Range)
    assert Grammar.from_schema(output.schema).accepts('{"low": 2, "high": 1}')
    with pytest.raises(ValidationError, match="low is above high"):
        output.parse('{"low": 2, "high": 1}')


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"^\D+$", "٣"),
        (r"^\W+$", "é"),
        (r"^[^\w]+$", "Ⓐ"),
        (r"^\S+$", "\u3000"),
        (r"^[^\s]$", "\x85"),
    ],
)
def test_negated_classes_leave_out_what_pydantic_does(pattern: str, text: str) -> None:
    annotation = Annotated[str, Field(pattern=pattern)]
    with pytest.raises(ValidationError):
        TypeAdapter(annotation).validate_json(json.dumps(text))
    assert not Grammar.from_schema(annotation).accepts(json.dumps(text))
    assert Grammar.from_schema(annotation).accepts('"+"')


@pytest.mark.parametrize("given", ['{"type": "string"}', "Person", 5, [1], b"", ("a",)])
def test_a_value_is_no_type(given: Any) -> None:
    with pytest.raises(SchemaError, match=r"expected a type.*json\.loads"):
        output_type(given)
