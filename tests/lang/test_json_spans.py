"""Each value of a JSON text is found where it stands."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treegram.lang.json_schema.spans import value_spans

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=6)
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


def count(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(count, inner))


@given(values, st.booleans(), st.sampled_from([None, 0, 2]))
def test_every_value(value: Any, ensure_ascii: bool, indent: int | None) -> None:
    data = json.dumps(value, ensure_ascii=ensure_ascii, indent=indent).encode(errors="replace")
    value = json.loads(data)
    spans = value_spans(data)
    assert spans[-1].steps == ()
    assert len(spans) == len({span.steps for span in spans}) == count(value)
    for steps, start, end in spans:
        found = value
        for step in steps:
            found = found[step]
        assert json.loads(data[start:end]) == found
        assert data[start:end].strip() == data[start:end]


@pytest.mark.parametrize("data", [b"", b"{", b'{"a": 1', b"tru", b"yes", b"[" * 99_999])
def test_no_json(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        value_spans(data)
