"""Text streaming: what is emitted, in total and piece by piece, whatever the cuts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from treegram.runtime.text import TextStream

ALPHABET = "abé漢🙂"


@st.composite
def cut_text(draw: st.DrawFn) -> list[bytes]:
    data = draw(st.text(ALPHABET, max_size=30)).encode()
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    ends = [*cuts, len(data)]
    return [data[a:b] for a, b in zip([0, *cuts], ends, strict=True)]


@given(cut_text(), st.lists(st.text(ALPHABET, min_size=1, max_size=4), max_size=3))
def test_stream_equals_a_search_in_the_whole_text(pieces: list[bytes], stop: list[str]) -> None:
    """Deltas join to the text before the first stop string, and no delta is ever taken back.

    "First" is by where a stop string is complete, as in a stream; among those, the leftmost.
    """
    stream = TextStream(stop)
    deltas: list[str] = []
    for piece in pieces:
        deltas.append(stream.push(piece))
        if stream.stop_matched is not None:
            break
    deltas.append(stream.finish())
    whole = b"".join(pieces).decode()
    assert "".join(deltas) == stream.text
    assert whole.startswith(stream.text)
    if any(s in whole for s in stop):
        assert stream.stop_matched in stop
        assert whole[len(stream.text) :].startswith(stream.stop_matched or "?")
        assert not any(s in stream.text for s in stop)
    else:
        assert stream.stop_matched is None
        assert stream.text == whole


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
