"""Options that cannot be meant are refused before anything is loaded."""

from __future__ import annotations

from typing import Any

import pytest

from treegram.lang.errors import ParameterError
from treegram.runtime.model_options import ModelOptions


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("max_running", 0, "1 or more"),
        ("max_running", 129, "at most 128"),
        ("chunk_tokens", 0, "1 or more"),
        ("n_threads", 0, "None or 1 or more"),
        ("idle_cells", -1, "0 or more"),
        ("host_bytes", -1, "0 or more"),
        ("disk_bytes", -1, "0 or more"),
        ("logits_bytes", -1, "0 or more"),
        ("prepared_bytes", -1, "0 or more"),
        ("state_bytes", -1, "0 or more"),
        ("max_itl_ms", 0, "more than 0"),
        ("max_itl_ms", float("nan"), "more than 0"),
        ("eviction", "newest", "lru, lfu"),
        ("disk_write", "never", "back, through"),
    ],
)
def test_it_is_named_with_what_was_expected(name: str, value: object, expected: str) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(ParameterError, match=f"^{name}: expected {expected}"):
        ModelOptions(**options)
