"""A finished state's variables as JSON, for files and HTTP answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_jsonable_python

from ..lang.state import State


def variables_json(state: State) -> dict[str, Any]:
    """Every variable as JSON data; models and dataclasses become objects, NaN a string.

    A value of the program's own that has no JSON form is given as its `repr`. Raises OutputError
    for a variable whose text is no value of its constraint.
    """
    return {
        name: to_jsonable_python(state[name], fallback=repr, inf_nan_mode="strings")
        for name in state.names()
    }


def outcome_json(state: State) -> dict[str, Any]:
    """`variables`, and the program's `return` value if it has one. Raises as `variables_json`."""
    outcome: dict[str, Any] = {"variables": variables_json(state)}
    if state.value is not None:
        outcome["return"] = to_jsonable_python(state.value, fallback=repr, inf_nan_mode="strings")
    return outcome


def json_text(value: Mapping[str, Any]) -> str:
    """One line of JSON. Half a surrogate pair, which no encoding can write, stays an escape."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text.encode(errors="backslashreplace").decode()
