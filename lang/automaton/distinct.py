"""Values that must differ: when two JSON texts are one value, and which values a text can become.

A list of distinct values is not context-free, so the automaton keeps the values in its stack, and
follows the value that is being written along those seen, byte by byte (`SeenValues`). Most values
differ from all others early, in their first key or character; from there on nothing more need be
known about them, so a byte costs about as much as values are still possible. Texts that differ only
in white space, escapes or the order of keys stand at the same `place`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Iterable
from decimal import Decimal
from typing import Literal, NamedTuple, TypeAlias

Mode: TypeAlias = Literal[
    "value", "first item", "first key", "key", "colon", "after", "string", "number", "word"
]
"""What comes next, or what the text stands inside: `key` is before one, a key is a `string`."""

_WHITE_SPACE = b" \t\n\r"
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_IN_NUMBER = b"0123456789+-.eE"
_WORDS: dict[int, tuple[bytes, Hashable]] = {
    ord("t"): (b"rue", ("boolean", True)),
    ord("f"): (b"alse", ("boolean", False)),
    ord("n"): (b"ull", None),
}
_UNICODE = rb"\\u[0-9a-fA-F]{4}"
_HIGH = rb"\\u[dD][89abAB][0-9a-fA-F]{2}"
_ESCAPE = re.compile(rb'(?:%s)?(?:\\["\\/bfnrt]|%s)' % (_HIGH, _UNICODE))
_PART = re.compile(rb"(?:%s)?(?:\\(?:u[0-9a-fA-F]{0,3})?)?" % _HIGH)
"""What may go on to be an escape; half of a surrogate pair waits for the other one."""


def value_of(text: bytes) -> Hashable:
    """What two texts share exactly if they are the same JSON value: 1 and 1.0, keys in any order.

    A text that is no JSON stands for itself.
    """
    try:
        value = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    except (ValueError, ArithmeticError, RecursionError):
        return text
    return _frozen(value)


def _frozen(value: object) -> Hashable:
    match value:
        case dict():
            return "object", frozenset((key, _frozen(below)) for key, below in value.items())
        case list():
            return "array", tuple(map(_frozen, value))
        case bool():
            return "boolean", value
        case Decimal():
            return "number", value  # equal ones hash alike, whatever their digits
        case _:
            return value if value is None else ("string", value)


class Container(NamedTuple):
    """An array or object around where the text stands.

    `items`: the items or members that have ended. `keys`: the keys so far; None: an array. `key`:
    that of the member that the text stands in.
    """

    outer: Container | None
    items: int
    keys: frozenset[bytes] | None
    key: bytes


class Thread(NamedTuple):
    """A seen value, followed to where the text stands: the value there, and what it is in."""

    number: int
    value: object
    outer: Thread | None


class SeenValues:
    """Where a text stands, and which of the values seen it can still become.

    `place`: equal for texts that stand at the same place, with the same values possible; zeros at
    the end of a fraction, which may be followed by another digit, do not tell texts apart.
    """

    __slots__ = ("_inside", "_mode", "_other", "_threads", "_token", "_waiting")

    def __init__(
        self,
        mode: Mode,
        inside: Container | None,
        threads: tuple[Thread, ...],
        other: tuple[bytes, ...],
        token: bytes = b"",
        waiting: bytes = b"",
    ) -> None:
        self._mode: Mode = mode
        self._inside = inside
        self._threads = threads
        self._other = other  # what is left of texts that are no JSON
        self._token = token  # of a string what is decoded; of a word what is left
        self._waiting = waiting  # an escape that is not complete

    @classmethod
    def begin(cls, seen: Iterable[object]) -> SeenValues:
        """Before the first byte, with all values possible."""
        threads: list[Thread] = []
        other: list[bytes] = []
        for number, value in enumerate(seen):
            if isinstance(value, bytes):
                other.append(value)
            else:
                threads.append(Thread(number, value, None))
        return cls("value", None, tuple(threads), tuple(other))

    def __bool__(self) -> bool:
        """Whether any value is possible."""
        return bool(self._threads or self._other)

    @property
    def count(self) -> int:
        """How many values are possible."""
        return len(self._threads) + len(self._other)

    @property
    def is_whole(self) -> bool:
        """Whether the text may be one of the values as it stands."""
        if self._inside is None and self._threads:
            if self._mode == "number":
                return bool(self._ended_number()._threads)
            return self._mode == "after"
        return b"" in self._other

    @property
    def is_number(self) -> bool:
        """Whether the text stands in a number."""
        return self._mode == "number"

    @property
    def place(self) -> Hashable:
        token: Hashable = self._token
        if self._mode == "number":
            complete = self._token if self._token[-1:].isdigit() else self._token + b"0"
            token = Decimal(complete.decode()) if _NUMBER.fullmatch(complete) else complete
        numbers = tuple(thread.number for thread in self._threads)
        return self._mode, self._inside, numbers, self._other, token, self._waiting

    def step(self, byte: int) -> SeenValues:
        """After one more byte."""
        other = tuple(text[1:] for text in self._other if text[0:1] == bytes((byte,)))
        following = self._read(byte) if self._threads else None
        if following is None or not following._threads:
            return SeenValues("value", None, (), other) if other else DIFFERENT
        if following._other == other:
            return following
        mode, inside, threads = following._mode, following._inside, following._threads
        return SeenValues(mode, inside, threads, other, following._token, following._waiting)

    def _read(self, byte: int) -> SeenValues | None:
        """After one more byte of a JSON text; None if it is none."""
        match self._mode:
            case "string":
                return self._in_string(byte)
            case "number":
                if byte in _IN_NUMBER:
                    return self._at("number", token=self._token + bytes((byte,)))
                return self._ended_number()._read(byte)
            case "word":
                if byte != self._token[0]:
                    return None
                return self._at("word", token=self._token[1:]) if self._token[1:] else self._ended()
        if byte in _WHITE_SPACE:
            return self
        match self._mode, chr(byte):
            case ("colon", ":"):
                return self._at("value")
            case ("first key" | "key", '"'):
                return self._at("string")
            case ("first key", "}") | ("first item", "]"):
                return self._closed(byte)
            case ("after", "," | "]" | "}") if self._inside is not None:
                if byte != ord(","):
                    return self._closed(byte)
                size = self._inside.items
                longer = (each for each in self._threads if _size(each.value) > size)
                return self._at("key" if self._inside.keys is not None else "value", longer)
            case ("value" | "first item", _):
                return self._begun(byte)
        return None

    def _at(
        self,
        mode: Mode,
        threads: Iterable[Thread] | None = None,
        token: bytes = b"",
        waiting: bytes = b"",
    ) -> SeenValues:
        threads = self._threads if threads is None else tuple(threads)
        return SeenValues(mode, self._inside, threads, (), token, waiting)

    def _begun(self, byte: int) -> SeenValues | None:
        """Inside a value that begins with `byte`."""
        match chr(byte):
            case "{":
                inside = Container(self._inside, 0, frozenset(), b"")
                return SeenValues("first key", inside, self._children("object"), ())
            case "[":
                inside = Container(self._inside, 0, None, b"")
                return SeenValues("first item", inside, self._children("array"), ())
            case '"':
                return self._at("string", self._children("string"))
        if byte in b"-0123456789":
            return self._at("number", self._children("number"), bytes((byte,)))
        if byte in _WORDS:
            rest, value = _WORDS[byte]
            threads = self._children(None if value is None else "boolean")
            return self._at("word", (each for each in threads if each.value == value), rest)
        return None

    def _children(self, kind: str | None) -> tuple[Thread, ...]:
        """The values that begin here, if they are of a kind, as what is compared with the text."""
        found: list[Thread] = []
        for thread in self._threads:
            value = thread.value
            if self._inside is not None:
                if isinstance(value, dict):
                    value = value[self._inside.key]
                else:
                    assert isinstance(value, tuple)
                    if len(value) <= self._inside.items:
                        continue
                    value = value[self._inside.items]
            if kind != (value[0] if isinstance(value, tuple) else None):
                continue
            outer = None if self._inside is None else thread
            found.append(Thread(thread.number, _compared(value), outer))
        return tuple(found)

    def _ended(self, keep: Callable[[object], bool] | None = None) -> SeenValues:
        """After the value that the text stands inside, where that is one to `keep`."""
        threads = self._threads
        if keep is not None:
            threads = tuple(thread for thread in threads if keep(thread.value))
        if self._inside is None:
            return self._at("after", threads)
        keys = self._inside.keys
        items = self._inside.items + 1 if keys is None else len(keys)
        inside = self._inside._replace(items=items, key=b"")
        outer = tuple(thread.outer for thread in threads if thread.outer is not None)
        return SeenValues("after", inside, outer, ())

    def _ended_number(self) -> SeenValues:
        if not _NUMBER.fullmatch(self._token):
            return DIFFERENT
        number = ("number", Decimal(self._token.decode()))
        return self._ended(lambda value: value == number)

    def _closed(self, byte: int) -> SeenValues | None:
        """After the bracket that ends an array or object."""
        assert self._inside is not None
        if (self._inside.keys is None) != (byte == ord("]")):
            return None
        size = self._inside.items
        closed = SeenValues("after", self._inside.outer, self._threads, ())
        return closed._ended(lambda value: _size(value) == size)

    def _in_string(self, byte: int) -> SeenValues | None:
        token, waiting = self._token, self._waiting
        is_key = self._is_key()
        if waiting:
            longer = waiting + bytes((byte,))
            if _ESCAPE.fullmatch(longer) and not _PART.fullmatch(longer):
                token, waiting = token + _decoded(longer), b""
            elif _PART.fullmatch(longer):
                return self._at("string", token=token, waiting=longer)
            elif _ESCAPE.fullmatch(waiting):  # half of a surrogate pair, and no other half
                alone = self._at("string", token=token + _decoded(waiting))
                return alone._in_string(byte)
            else:
                return None
        elif byte == ord("\\"):
            return self._at("string", token=token, waiting=b"\\")
        elif byte == ord('"'):
            if not is_key:
                return self._ended(lambda value: value == token)
            assert self._inside is not None
            assert self._inside.keys is not None
            inside = self._inside._replace(keys=self._inside.keys | {token}, key=token)
            threads = tuple(each for each in self._threads if _has_key(each.value, token))
            return SeenValues("colon", inside, threads, ())
        elif byte < ord(" "):
            return None
        else:
            token += bytes((byte,))
        if is_key:
            possible = (each for each in self._threads if _has_keys(each.value, token))
        else:
            possible = (each for each in self._threads if _begins(each.value, token))
        return self._at("string", possible, token, waiting)

    def _is_key(self) -> bool:
        """Whether the string that the text stands in is a key."""
        return any(isinstance(thread.value, dict) for thread in self._threads)


DIFFERENT = SeenValues("value", None, (), ())
"""A text that can become none of the values."""


def _compared(value: object) -> object:
    """A value as it is compared with a text: its bytes, its items, its members by key."""
    match value:
        case ("string", str() as text):
            return _bytes(text)
        case ("array", items):
            return items
        case ("object", frozenset() as members):
            return {_bytes(key): below for key, below in members}
        case _:
            return value


def _size(value: object) -> int:
    return len(value) if isinstance(value, tuple | dict) else 0


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decoded(escapes: bytes) -> bytes:
    text: str = json.loads(b'"%s"' % escapes)
    return _bytes(text)


def _begins(value: object, token: bytes) -> bool:
    return isinstance(value, bytes) and value.startswith(token)


def _has_key(value: object, key: bytes) -> bool:
    return isinstance(value, dict) and key in value


def _has_keys(value: object, begin: bytes) -> bool:
    return isinstance(value, dict) and any(key.startswith(begin) for key in value)
