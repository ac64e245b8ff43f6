"""No text takes llama.cpp's pre-tokeniser, and the process, down."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treegram.runtime.pretokenizer import LONGEST, pieces

STRETCHES = st.lists(
    st.tuples(st.sampled_from("a=1中\u0301 \n"), st.sampled_from([1, 2, LONGEST - 1, LONGEST + 1])),
    max_size=8,
)


@given(STRETCHES)
def test_pieces_are_the_text_and_no_word_of_them_is_too_long(
    stretches: list[tuple[str, int]],
) -> None:
    text = "".join(character * n for character, n in stretches)
    found = list(pieces(text))
    assert "".join(found) == text
    words = [word for piece in found for word in re.findall(r"\S+|\s+", piece)]
    assert max(map(len, words), default=0) <= LONGEST
    if not re.search(rf"\S{{{LONGEST + 1}}}|\s{{{LONGEST + 1}}}", text):
        assert found == [text]


TOKENISE = """
import sys
from pathlib import Path
from treegram.runtime.llama import LlamaModel

model = LlamaModel(Path(sys.argv[1]), vocab_only=True)
pieces = model.vocabulary.pieces
for word in ("=", "a", "A", "aA", "1", " ", "\\n", "\\u4e2d", "e\\u0301", "\\u3002", "=\\n"):
    text = word * 100_000
    assert b"".join(pieces[token] for token in model.encode(text)) == text.encode(), word
print("alive")
"""


@pytest.mark.slow
@pytest.mark.parametrize("pre", ["smollm", "tekken", "gpt-4o"])
def test_words_of_any_length_are_tokenised(embedded_path: Path, tmp_path: Path, pre: str) -> None:
    """In a process of its own, which `std::regex` would end."""
    content = embedded_path.read_bytes()
    key = b"tokenizer.ggml.pre\x08\0\0\0\x06\0\0\0\0\0\0\0"  # a str of six bytes
    assert content.count(key + b"smollm") == 1
    assert len(pre) == 6
    file = tmp_path / "other.gguf"
    file.write_bytes(content.replace(key + b"smollm", key + pre.encode()))
    done = subprocess.run([sys.executable, "-c", TOKENISE, file], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("alive\n", 0), done.stderr
