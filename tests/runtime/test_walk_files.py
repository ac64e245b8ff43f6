"""What one process learned about terminals is read by the next one, and only where it is true."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import treegram
from treegram.lang.automaton.automaton import Automaton
from treegram.lang.automaton.regular_terminal import regular_machine
from treegram.lang.compiler.cache_folder import LOCATION_VARIABLE
from treegram.lang.compiler.code_identity import code_identity
from treegram.lang.compiler.file_cache import FileCache
from treegram.lang.compiler.grammar_cache import language_identity
from treegram.lang.errors import GrammarError
from treegram.lang.grammar import Grammar
from treegram.lang.ir.nodes import Literal
from treegram.runtime.base import BoolMask, Vocabulary
from treegram.runtime.byte_tokenizer import ByteTokenizer
from treegram.runtime.llama import LlamaModel
from treegram.runtime.masks import terminal_walks, walk_files
from treegram.runtime.masks.byte_trie import ByteTrie
from treegram.runtime.masks.masks import MaskTable
from treegram.runtime.masks.terminal_walk import NO_LABELS, WalkTable
from treegram.runtime.masks.token_trie import TokenTrie
from treegram.runtime.masks.walk_packing import Bounds, packed, unpacked

MERGES = [
    *b'ab abc bc ca aa aaa {" ": ", "} name "name name" true tr ue 12 123'.split(),
    *(b'": "', b'", "', b"a" * 20, b"zz" * 9, "é".encode(), "日".encode()[:2], "日本".encode()),
]
VOCABULARY = ByteTokenizer(MERGES).vocabulary
WORD = regular_machine(Literal("x"), frozenset(range(255)))
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2, "maxLength": 7},
        "more": {"type": "string", "maxLength": 40},
        "free": {"type": "string"},
        "code": {"type": "string", "pattern": "^(ab|[c-z]+)*$", "minLength": 3, "maxLength": 9},
        "n": {"type": "number"},
    },
    "required": ["name", "more", "free", "code", "n"],
    "additionalProperties": False,
}
TEXT = '{"name": "a日b", "more": "x\\u00e9y", "free": "ab", "code": "abxy", "n": -1.5e3}'


@pytest.fixture(scope="module", autouse=True)
def known_code() -> None:
    """Tables are kept only where it is known which code makes them."""
    if language_identity() is None or code_identity(Path(walk_files.__file__).parent) is None:
        pytest.skip("the code was edited since the tests began")


def walk_masks(trie: TokenTrie, text: str = TEXT) -> list[BoolMask]:
    """The masks at every byte of a text."""
    automaton = Automaton(Grammar.from_schema(SCHEMA).rules, alphabet=trie.alphabet)
    table = MaskTable(automaton, trie, frozenset())
    masks: list[BoolMask] = []
    at = automaton.start
    for byte in text.encode():
        masks.append(table.mask(at))
        following = automaton.step(at, byte)
        assert following is not None
        at = following
    return masks


def files_in(folder: Path) -> FileCache:
    return FileCache(folder, "masks", 1 << 24)


def assert_same(found: list[BoolMask], expected: list[BoolMask]) -> None:
    assert [m.tobytes() for m in found] == [m.tobytes() for m in expected]


def test_the_next_one_computes_nothing_of_the_vocabulary(tmp_path: Path) -> None:
    first = TokenTrie(VOCABULARY, files_in(tmp_path))
    expected = walk_masks(first)
    assert first.walks.stats().loaded == 0
    first.walks.save()
    second = TokenTrie(VOCABULARY, files_in(tmp_path))
    assert_same(walk_masks(second), expected)
    assert second.walks.stats().loaded > 10
    assert not second.walks.save_next()
    assert_same(walk_masks(TokenTrie(VOCABULARY)), expected)


def test_what_a_later_one_adds_is_kept_beside_the_rest(tmp_path: Path) -> None:
    for text in (TEXT[:10], TEXT):
        trie = TokenTrie(VOCABULARY, files_in(tmp_path))
        walk_masks(trie, text)
        trie.walks.save()
    last = TokenTrie(VOCABULARY, files_in(tmp_path))
    walk_masks(last)
    assert not last.walks.save_next()


def test_another_vocabulary_reads_nothing(tmp_path: Path) -> None:
    """Neither one with another text, nor one in another order, nor one where a token ends."""
    trie = TokenTrie(VOCABULARY, files_in(tmp_path))
    walk_masks(trie)
    trie.walks.save()
    pieces = VOCABULARY.pieces
    swapped = list(pieces)
    swapped[256], swapped[257] = swapped[257], swapped[256]
    for other in (
        Vocabulary((*pieces, b"abz"), VOCABULARY.eog),
        Vocabulary(tuple(swapped), VOCABULARY.eog),
        Vocabulary(pieces, VOCABULARY.eog | {256}),
    ):
        trie = TokenTrie(other, files_in(tmp_path))
        assert_same(walk_masks(trie), walk_masks(TokenTrie(other)))
        assert trie.walks.stats().loaded == 0


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of one walk, by their names."""
    folder = tmp_path_factory.mktemp("kept")
    trie = TokenTrie(VOCABULARY, files_in(folder))
    walk_masks(trie)
    trie.walks.save()
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_is_made_again(
    kept: dict[str, bytes], tmp_path: Path, data: st.DataObject
) -> None:
    for name, content in kept.items():
        (tmp_path / name).write_bytes(content)
    name = data.draw(st.sampled_from(sorted(kept)))
    content = kept[name]
    at = data.draw(st.integers(0, len(content) - 1))
    changed = bytes([content[at] ^ 0x41]) + content[at + 1 :]
    (tmp_path / name).write_bytes(content[:at] + data.draw(st.sampled_from([b"", changed])))
    trie = TokenTrie(VOCABULARY, files_in(tmp_path))
    walk_masks(trie)
    trie.walks.save()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == kept


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whoever_computes_the_checksum_cannot_raise(
    kept: dict[str, bytes], tmp_path: Path, data: st.DataObject
) -> None:
    """Nonsense under a true checksum is refused where it is nonsense, and harmless elsewhere."""
    name = data.draw(st.sampled_from(sorted(kept)))
    (tmp_path / name).write_bytes(kept[name])
    files = files_in(tmp_path)
    content = files.load(Path(name).stem)
    assert content is not None
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        new = data.draw(st.binary(max_size=3))
        content = content[:at] + new + content[at + data.draw(st.integers(0, 3)) :]
    files.keep(Path(name).stem, content)
    with suppress(GrammarError):  # a table without tokens is well-formed
        walk_masks(TokenTrie(VOCABULARY, files))


NUMBERS = st.lists(st.integers(0, len(VOCABULARY) - 3), unique=True, max_size=270)


@given(NUMBERS, st.integers(1, 5), st.lists(st.integers(0, 280), unique=True), st.data())
def test_walks_are_packed_and_unpacked(
    inside: list[int], n_labels: int, doors: list[int], data: st.DataObject
) -> None:
    width = data.draw(st.sampled_from([2, 4]))
    shorts = st.integers(-1, 400)

    def drawn(values: st.SearchStrategy[int], size: int) -> list[int]:
        return data.draw(st.lists(values, min_size=size, max_size=size))

    table = WalkTable(
        np.array(inside, dtype=np.int64),
        np.array(drawn(st.integers(0, n_labels - 1), len(inside)), dtype=np.int32),
        np.array(drawn(shorts, n_labels * width), dtype=np.int32).reshape(-1, width),
        np.array(doors, dtype=np.int64),
        np.array(drawn(shorts, len(doors)), dtype=np.int16),
    )
    found = unpacked(packed(table), TokenTrie(VOCABULARY), WORD, "none")
    assert [array.dtype for array in found] == [array.dtype for array in table]
    assert found.inside.tolist() == sorted(inside)
    assert (found.label_of == table.label_of[np.argsort(table.inside)]).all()
    assert (found.labels == table.labels).all()
    assert found.doors.tolist() == sorted(doors)
    assert (found.door_tallies == table.door_tallies[np.argsort(table.doors)]).all()


@pytest.mark.parametrize(
    ("inside", "label_of", "labels", "doors", "bounds"),
    [
        ([VOCABULARY.pieces.index(b"") + 2], [], [], [], "none"),
        ([], [], [], [10_000], "none"),
        ([3], [1], [(1, 0)], [], "counted"),
        ([3], [0], [(1, 0, 0)], [], "counted"),
        ([3], [0], [(1, 0)], [], "measured"),
    ],
)
def test_tables_that_no_walk_makes_are_refused(
    inside: list[int],
    label_of: list[int],
    labels: list[tuple[int, ...]],
    doors: list[int],
    bounds: Bounds,
) -> None:
    table = WalkTable(
        np.array(inside, dtype=np.int64),
        np.array(label_of, dtype=np.int32),
        np.array(labels, dtype=np.int32) if labels else NO_LABELS,
        np.array(doors, dtype=np.int64),
        np.zeros(len(doors), dtype=np.int16),
    )
    with pytest.raises(ValueError, match=r"none|something else"):
        unpacked(packed(table), TokenTrie(VOCABULARY), WORD, bounds)


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of walks and of files read together, which are looked at now and then."""
    full = TokenTrie(VOCABULARY, files_in(tmp_path))
    expected = walk_masks(full)
    full.walks.save()
    held = full.walks.stats().held_bytes
    monkeypatch.setattr(terminal_walks, "KEPT_BYTES", held // 4)
    monkeypatch.setattr(terminal_walks, "_SHRUNK_EVERY", 1)
    trie = TokenTrie(VOCABULARY, files_in(tmp_path))
    assert_same(walk_masks(trie), expected)
    assert trie.walks.stats().held_bytes < held // 2


def test_tries_have_equal_digests_only_if_they_are_equal() -> None:
    def digest(*pieces: bytes) -> bytes:
        trie: ByteTrie = TokenTrie(Vocabulary(pieces, frozenset()))
        return trie.digest()

    assert digest(b"a", b"ab") == digest(b"a", b"ab")
    others = [digest(b"ab", b"a"), digest(b"a", b"ac"), digest(b"a", b"ab", b"ab"), digest(b"a")]
    assert len({digest(b"a", b"ab"), *others}) == 5


# --- across processes ----------------------------------------------------------------------

PROCESS = """
import hashlib, json, sys
from pathlib import Path
from treegram.lang.compiler.file_cache import FileCache
from treegram.lang.grammar import Grammar
from treegram.runtime.llama import LlamaModel
from treegram.runtime.masks.token_trie import TokenTrie
from treegram.runtime.matcher import GrammarMatcherFactory
from treegram.runtime.spelling import Speller

gguf, folder, schema, text = sys.argv[1:]
model = LlamaModel(Path(gguf), vocab_only=True)
trie = TokenTrie(model.vocabulary, FileCache(Path(folder), "masks", 1 << 26))
grammar = Grammar.from_schema(json.loads(schema))
factory = GrammarMatcherFactory(grammar, model.vocabulary, Speller(model, trie), trie)
matcher = factory.start(canonical=False)
masks = hashlib.sha256()
for token in model.encode(text):
    masks.update(matcher.mask().tobytes())
    matcher.advance(token)
stats = trie.walks.stats()
trie.walks.save()
model.close()
print(json.dumps([masks.hexdigest(), stats.computed, stats.loaded]))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder to import a copy of the package from: whoever edits the package edits no copy."""
    folder = tmp_path / "package"
    source = Path(treegram.__file__).parent
    shutil.copytree(source, folder / "treegram", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def start(gguf: Path, folder: Path, package: Path, seed: int) -> subprocess.Popen[str]:
    """A process that walks a text; the order of its sets differs with the seed."""
    env = {
        **os.environ,
        "PYTHONHASHSEED": str(seed),
        "PYTHONPATH": str(package),
        LOCATION_VARIABLE: "off",
    }
    argv = [sys.executable, "-c", PROCESS, str(gguf), str(folder), json.dumps(SCHEMA), TEXT]
    return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True)


def result(process: subprocess.Popen[str]) -> tuple[str, int, int]:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    masks, computed, loaded = json.loads(output.splitlines()[-1])
    return masks, computed, loaded


@pytest.mark.model
@pytest.mark.slow
def test_processes_share_tables(
    vocabulary_model: LlamaModel, tmp_path: Path, package: Path
) -> None:
    """Two at once, a third one after them, and one with other code: the same masks."""
    gguf, files = vocabulary_model.path, tmp_path / "files"
    racing = [start(gguf, files, package, seed) for seed in (1, 2)]
    (first, *counts), (second, *_) = map(result, racing)
    third, computed, loaded = result(start(gguf, files, package, 3))
    assert first == second == third
    assert computed + loaded == sum(counts)
    assert loaded > computed
    assert all(path.suffix == ".masks" for path in files.iterdir())
    with (package / "treegram" / "runtime" / "masks" / "level_walk.py").open("a") as module:
        module.write("# changed\n")
    fourth, _, loaded = result(start(gguf, files, package, 4))
    assert (fourth, loaded) == (first, 0)
