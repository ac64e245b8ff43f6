"""Plain data between the engine's process and its parent."""

from __future__ import annotations

import io
import math
import os
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treegram.lang import errors
from treegram.lang.base import (
    ChoiceScore,
    Generated,
    GenRequest,
    GenResult,
    Message,
    SelectRequest,
    SelectResult,
    Text,
    TokenLogprob,
    Usage,
)
from treegram.lang.confidence import Decision
from treegram.lang.errors import (
    ContextOverflowError,
    EngineError,
    ParameterError,
    RegexError,
    SchemaError,
    TreegramError,
    VariableError,
)
from treegram.lang.grammar import Grammar
from treegram.lang.json_schema.layout import Layout
from treegram.lang.sampling import SamplingParams
from treegram.runtime.engine_process.codec import (
    UnknownGrammar,
    decode,
    decode_error,
    encode,
    encode_error,
    grammar_from,
)
from treegram.runtime.engine_process.frames import Frame, FrameReader, write_frame
from treegram.runtime.engine_process.supervisor import wait_s
from treegram.runtime.model_options import ModelOptions

GRAMMARS = (
    Grammar.from_regex(r"[a-ü]{2,7}(x|yz)*"),
    Grammar.from_choices(["one", "two", "\U0001f600"]),
    Grammar.from_schema(
        {
            "type": "object",
            "properties": {"a": {"type": "array", "uniqueItems": True, "items": {"type": "null"}}},
            "title": "not a constraint",
        },
        Layout(),
    ),
    Grammar.from_substring("to be or not to be", words=True),
    Grammar.from_gbnf('root ::= "(" root? ")"'),
)
TEXTS = st.text(st.characters(), max_size=8)
"""With lone surrogates, too."""

SPANS = st.builds(Text, TEXTS, st.booleans()) | st.builds(
    Generated, TEXTS, st.lists(st.integers(0, 1 << 18)).map(tuple), TEXTS
)
PARAMS = st.builds(
    SamplingParams,
    temperature=st.floats(0, 10),
    logit_bias=st.dictionaries(st.integers(0, 99), st.floats(max_value=9, allow_nan=False)),
    seed=st.none() | st.integers(0, 2**64 - 1),
    logprobs=st.none() | st.integers(0, 9),
)


@given(st.lists(SPANS, max_size=4).map(tuple), PARAMS, st.sampled_from((None, *GRAMMARS)))
def test_a_request_arrives_as_it_was(
    prompt: tuple[Text | Generated, ...], params: SamplingParams, grammar: Grammar | None
) -> None:
    request = GenRequest(prompt, params, grammar, stop=("a", "\n"), stop_token_ids=(3, 4))
    arrived = decode(encode(request, with_grammars=True), grammar_from)
    assert arrived == request
    assert all(type(a) is type(b) for a, b in zip(arrived.prompt, prompt, strict=True))
    if grammar is not None:
        assert arrived.grammar.key == grammar.key
        assert arrived.grammar.notes == grammar.notes


@pytest.mark.parametrize(
    "value",
    [
        SelectRequest((Text("a"),), ("b", "c"), "unconditional", 0.5, 7),
        (Message("user", (Text("hi"), Generated("there", (1, 2), "i"))),),
        ModelOptions(n_threads=2, disk_folder=Path("/tmp/a b"), max_itl_ms=0.1),
        SelectResult(
            "b", (Generated("b", (5,)),), 1, (ChoiceScore("b", -math.inf, (-0.1, -math.pi)),)
        ),
    ],
)
def test_other_values_arrive_as_they_were(value: object) -> None:
    assert decode(encode(value)) == value


def test_a_result_arrives_with_its_types() -> None:
    logprobs = (TokenLogprob(1, b"\xff\x00a", -0.5, ((1, b"\xff", -0.5), (2, b"", -math.inf))),)
    decisions = (Decision(-1, 3, 0.25, 0.125),)
    result = GenResult("x", (Text("x"),), "stop", Usage(1, 2, 3), "\n", logprobs, decisions)
    arrived = decode(encode(result))
    assert arrived == result
    assert arrived.decisions[0].runner_up == 0.125
    assert arrived.logprobs[0].top[1][1] == b""


def test_a_grammar_travels_by_its_key_until_it_is_asked_for() -> None:
    request = GenRequest((Text("a"),), grammar=GRAMMARS[0])
    with pytest.raises(UnknownGrammar):
        decode(encode(request), grammar_from)
    known = decode(encode(request), lambda key, text: {GRAMMARS[0].key: GRAMMARS[0]}[key])
    assert known.grammar is GRAMMARS[0]


def test_numbers_of_numpy_are_numbers() -> None:
    bias = {int(np.int64(3)): float(np.float32(0.5))}
    given = SamplingParams(logit_bias={np.int64(3): np.float32(0.5)}, top_k=np.int32(4))  # type: ignore[arg-type,dict-item]  # what users do
    assert decode(encode(given)) == SamplingParams(logit_bias=bias, top_k=4)


def test_what_is_no_plain_data_is_refused() -> None:
    request = GenRequest((Text("a"),), grammar=cast(Grammar, lambda: None))
    with pytest.raises(ParameterError, match=r"plain data.*engine='thread'"):
        encode(request)


@pytest.mark.parametrize(
    "error",
    [
        ContextOverflowError(10, 5),
        RegexError("unclosed", "[a", 0),
        SchemaError("no", "$.a", "type"),
        VariableError("a", ["b"]),
        ParameterError("seed", "expected 1"),
        EngineError("failed"),
    ],
)
def test_treegrams_errors_arrive_as_they_were(error: TreegramError) -> None:
    error.add_note("in line 3")
    arrived = decode_error(encode_error(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)


def test_other_errors_arrive_as_engine_errors() -> None:
    arrived = decode_error(encode_error(KeyError("missing")))
    assert type(arrived) is errors.EngineError
    assert "KeyError: 'missing'" in str(arrived)


class Pipe(io.RawIOBase):
    """Gives what was written in pieces of any size."""

    def __init__(self, sizes: list[int]) -> None:
        self._data = b""
        self._sizes = sizes

    def write(self, data: object) -> int:
        part = bytes(data)[:5]  # type: ignore[call-overload]  # a buffer
        self._data += part
        return len(part)

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        n = self._sizes.pop() if self._sizes else size
        part, self._data = self._data[:n], self._data[n:]
        return part


@given(
    st.lists(st.tuples(st.sampled_from(["text", "done"]), st.integers(0, 99), st.binary())),
    st.lists(st.integers(1, 20)),
)
def test_frames_arrive_whole_and_in_order(
    messages: list[tuple[str, int, bytes]], sizes: list[int]
) -> None:
    pipe = Pipe(sizes)
    frames = [Frame(*message) for message in messages]
    for frame in frames:
        write_frame(pipe, frame)  # type: ignore[arg-type]  # raw files are IO[bytes] in all but name
    reader = FrameReader(pipe)  # type: ignore[arg-type]
    assert [reader.read() for _ in frames] == frames
    assert reader.read() is None


def test_frames_that_were_put_back_come_first() -> None:
    pipe = Pipe([])
    for n in range(3):
        write_frame(pipe, Frame("text", n))  # type: ignore[arg-type]
    reader = FrameReader(pipe)  # type: ignore[arg-type]
    for _ in range(2):
        frame = reader.read_new()
        assert frame is not None
        reader.put_back(frame)
    assert [getattr(reader.read(), "id", None) for _ in range(4)] == [0, 1, 2, None]


def test_a_frame_cut_short_is_no_frame() -> None:
    read, write = os.pipe()
    with os.fdopen(write, "wb", buffering=0) as file:
        write_frame(file, Frame("text", 1, b"abc"))
        file.write(b"\0\0\0\0\0\0\0\x09tex")
    with os.fdopen(read, "rb", buffering=0) as file:
        reader = FrameReader(file)
        assert reader.read() == Frame("text", 1, b"abc")
        assert reader.read() is None


def test_starts_are_spaced_out() -> None:
    assert [wait_s(n) for n in (1, 2, 3, 4, 5, 99)] == [0, 1, 2, 4, 8, 30]


def test_all_that_may_travel_is_data() -> None:
    for kind in (GenRequest, SelectRequest, GenResult, SelectResult, ModelOptions, Message):
        assert is_dataclass(kind)
        assert all(field.init for field in fields(kind))
