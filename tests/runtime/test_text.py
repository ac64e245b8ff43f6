"""Text streaming: what is emitted, in total and piece by piece, whatever the cuts."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treegram.lang.errors import ParameterError, RegexError
from treegram.lang.grammar import Grammar
from treegram.runtime.text import TextStream

ALPHABET = "abé漢🙂"


@st.composite
def cut_text(draw: st.DrawFn) -> list[bytes]:
    data = draw(st.text(ALPHABET, max_size=30)).encode()
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    ends = [*cuts, len(data)]
    return [data[a:b] for a, b in zip([0, *cuts], ends, strict=True)]


def read(stream: TextStream, pieces: list[bytes]) -> tuple[TextStream, list[str]]:
    """Pushes until the stream stops; its deltas."""
    deltas: list[str] = []
    for piece in pieces:
        deltas.append(stream.push(piece))
        if stream.stop_matched is not None:
            break
    return stream, [*deltas, stream.finish()]


def first_stop(whole: str, stop: list[str]) -> tuple[int, str] | None:
    """Where the stop that is complete first begins, and its text; the longest of several."""
    for end in range(1, len(whole) + 1):
        found = [s for s in stop if whole[:end].endswith(s)]
        if found:
            longest = max(found, key=len)
            return end - len(longest), longest
    return None


@given(cut_text(), st.lists(st.text(ALPHABET, min_size=1, max_size=4), max_size=3))
def test_stream_equals_a_search_in_the_whole_text(pieces: list[bytes], stop: list[str]) -> None:
    """Deltas join to the text before the first stop string, and no delta is ever taken back."""
    stream, deltas = read(TextStream(stop), pieces)
    whole = b"".join(pieces).decode()
    assert "".join(deltas) == stream.text
    expected = first_stop(whole, stop)
    assert (len(stream.text), stream.stop_matched) == (expected or (len(whole), None))


PATTERNS = ["a+b", "ba*", "[ab]{2}é", "漢.?🙂", "a|bb|aé", "(?:ab)+é", "a[^b]b", r"\p{Lo}+a"]


@given(cut_text(), st.sampled_from(PATTERNS), st.lists(st.text(ALPHABET, min_size=1, max_size=3)))
def test_a_stop_expression_equals_a_search_in_the_whole_text(
    pieces: list[bytes], pattern: str, stop: list[str]
) -> None:
    stream, deltas = read(TextStream(stop, pattern), pieces)
    whole = b"".join(pieces).decode()
    assert "".join(deltas) == stream.text
    compiled = re.compile(pattern.replace(r"\p{Lo}", "漢"))
    for end in range(1, len(whole) + 1):
        starts = [
            start
            for start in range(end)
            if compiled.fullmatch(whole, start, end) or whole[start:end] in stop
        ]
        if starts:
            assert (stream.text, stream.stop_matched) == (
                whole[: starts[0]],
                whole[starts[0] : end],
            )
            return
    assert (stream.text, stream.stop_matched) == (whole, None)


@given(cut_text(), st.sampled_from(PATTERNS))
def test_only_text_that_may_belong_to_a_match_is_held_back(
    pieces: list[bytes], pattern: str
) -> None:
    """After each push, what is held begins a text of the expression."""
    stream, begins = TextStream(stop_regex=pattern), Grammar.from_regex(pattern)
    emitted = ""
    for piece in pieces:
        emitted += stream.push(piece)
        if stream.stop_matched is not None:
            return
        held = stream.text[len(emitted) :]
        assert not held or begins.accepts_prefix(held)


def test_a_character_split_across_tokens_appears_once_whole() -> None:
    stream = TextStream()
    a, b = "é".encode()[:1], "é".encode()[1:]
    assert [stream.push(a), stream.push(b), stream.finish()] == ["", "é", ""]


def test_a_possible_stop_is_held_back_until_it_is_decided() -> None:
    stream = TextStream(["\n\n"])
    assert stream.push(b"a\n") == "a"
    assert stream.push(b"b") == "\nb"
    assert stream.push(b"\n\nc") == ""
    assert (stream.text, stream.stop_matched) == ("a\nb", "\n\n")
    assert stream.push(b"more") == ""


def test_bytes_that_are_no_text_become_replacement_characters() -> None:
    stream = TextStream()
    stream.push(b"a\xe2\x82")
    stream.finish()
    assert stream.text == "a\ufffd"


def test_a_stop_expression_takes_the_whole_match_with_it() -> None:
    stream = TextStream(stop_regex=r"\n[0-9]+\. ")
    assert stream.push(b"one\n1") == "one"
    assert stream.push(b"2") == ""
    assert stream.push(b"x") == "\n12x"
    assert stream.push(b"\n3. more") == ""
    assert (stream.text, stream.stop_matched) == ("one\n12x", "\n3. ")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("a*", "empty text"),
        ("^a", "anchor"),
        ("a$", "anchor"),
        ("(", "unclosed"),
        ("[^\\s\\S]", "no text"),
    ],
)
def test_an_expression_that_cannot_stop_anything_is_refused(pattern: str, words: str) -> None:
    with pytest.raises(RegexError, match=words):
        TextStream(stop_regex=pattern)


def test_stop_texts_of_any_size_are_refused_or_found() -> None:
    long = "x" * 1000
    stream = TextStream([long])
    assert stream.push(b"y" + b"x" * 999) == "y"
    assert stream.push(b"x") == ""
    assert stream.stop_matched == long
    with pytest.raises(ParameterError, match="different"):
        TextStream([chr(code) + chr(code + 1) for code in range(0x4E00, 0x4E00 + 1000)])
    with pytest.raises(ParameterError, match="in total"):
        TextStream(["x" * 200_000])
