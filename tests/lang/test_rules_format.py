"""Encoded rules come back equal, and nothing else comes back at all."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treegram.lang.ir.dfa import Dfa
from treegram.lang.ir.nodes import (
    EMPTY,
    Alt,
    CharClass,
    Element,
    Literal,
    Member,
    Members,
    Node,
    Ref,
    Repeat,
    Rules,
    Seq,
    Substring,
    Terminal,
    Unique,
)
from treegram.lang.ir.rules_format import Compiled, decode, encode

texts = st.text(max_size=4)
counts = st.integers(0, 3)
bounds = st.one_of(st.none(), st.integers(3, 40_000))
dfas = st.builds(
    lambda edges, accepting: Dfa((tuple(edges), ()), frozenset(accepting)),
    st.lists(st.tuples(st.just(97), st.integers(97, 99), st.integers(0, 1)), max_size=2),
    st.sets(st.integers(0, 1)),
)
leaves: st.SearchStrategy[Node] = st.one_of(
    st.builds(Literal, texts),
    st.sampled_from([CharClass(()), CharClass(((48, 57), (97, 122))), Ref("root"), EMPTY]),
    st.builds(Substring, texts, st.booleans()),
    dfas,
)


def inside(nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    several = st.lists(nodes, max_size=3).map(tuple)
    members = st.lists(st.builds(Member, texts, nodes, st.booleans()), max_size=3).map(tuple)
    return st.one_of(
        st.builds(Seq, several),
        st.builds(Alt, several),
        st.builds(Repeat, nodes, counts, bounds),
        st.builds(Terminal, nodes, st.frozensets(texts, max_size=2)),
        st.builds(Unique, nodes),
        st.builds(Element, nodes),
        st.builds(
            Members, members, st.one_of(st.none(), nodes), nodes, counts, bounds, st.booleans()
        ),
    )


nodes = st.recursive(leaves, inside, max_leaves=8)
compiled = st.builds(
    lambda bodies, notes: Compiled(Rules("root", {"root": EMPTY, **bodies}), notes),
    st.dictionaries(st.sampled_from(["root", "a", "b-1"]), nodes, max_size=3),
    st.lists(st.lists(texts, max_size=3).map(tuple), max_size=2).map(tuple),
)


@pytest.mark.slow
@given(compiled)
def test_round_trip(made: Compiled) -> None:
    assert decode(encode(made)) == made


@pytest.mark.slow
def test_depth_costs_no_stack() -> None:
    node: Node = Literal("x")
    for _ in range(50_000):
        node = Seq((node,))
    data = encode(Compiled(Rules("root", {"root": node})))
    assert encode(decode(data)) == data


def test_shared_nodes_are_written_once() -> None:
    """2**100 of them, walked as a tree."""
    node: Node = Literal("x")
    for _ in range(100):
        node = Seq((node, node))
    data = encode(Compiled(Rules("root", {"root": node})))
    assert len(data) < 3_000
    assert encode(decode(data)) == data


@pytest.mark.slow
@given(compiled, st.data())
def test_whatever_is_changed_is_refused_or_still_rules(made: Compiled, data: st.DataObject) -> None:
    """Any value of the document replaced by any other."""
    document = json.loads(encode(made))
    holder: Any = document
    while True:
        key = data.draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(99)))
        if isinstance(holder, list):
            key %= max(1, len(holder))
        inner = holder[key] if holder else None
        if not isinstance(inner, (dict, list)) or not inner or data.draw(st.booleans()):
            break
        holder = inner
    scalars = st.one_of(st.none(), st.booleans(), st.integers(-2, 99), st.floats(), texts)
    junk = data.draw(st.recursive(scalars, lambda inner: st.lists(inner, max_size=3), max_leaves=4))
    if holder:
        holder[key] = junk
    try:
        found = decode(json.dumps(document).encode())
    except ValueError:
        return
    assert decode(encode(found)) == found


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b'{"format":1}',
        b'{"format":99,"root":"r","rules":{},"nodes":[],"notes":[]}',
        b'{"format":1,"root":"r","rules":{"r":0},"nodes":[["seq",0]],"notes":[]}',
        b'{"format":1,"root":"r","rules":{"r":-1},"nodes":[["lit","a"]],"notes":[]}',
        b'{"format":1,"root":"r","rules":{"r":0},"nodes":[["dfa",[0],[[97,97,1]]]],"notes":[]}',
        b'{"format":1,"root":"r","rules":{"r":0},"nodes":' + b"[" * 99_999,
    ],
)
def test_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        decode(data)


def test_a_terminal_is_hashed_anew_by_each_process() -> None:
    """It keeps its hash, and texts hash differently in each."""
    code = (
        "import pickle, sys\n"
        "from treegram.lang.ir.nodes import Literal, Terminal\n"
        "made = Terminal(Literal('a text'), frozenset({'excluded'}))\n"
        "hash(made)\n"
        "sys.stdout.buffer.write(pickle.dumps(made))\n"
    )
    environment = os.environ | {"PYTHONHASHSEED": "1"}
    child = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=True
    )
    assert pickle.loads(child.stdout) in {Terminal(Literal("a text"), frozenset({"excluded"}))}
