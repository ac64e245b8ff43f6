"""A finished state's variables, for files and HTTP answers."""

from __future__ import annotations

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
