"""What may be a schema document: JSON, bounded in depth and size, checked without recursion."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..errors import SchemaError
from ..ir.nodes import SURROGATES
from .keywords import Schema, child

MAX_DEPTH = 100
MAX_NODES = 50_000

_NAMING = frozenset(("$id", "id", "$anchor", "$dynamicAnchor", "$recursiveAnchor"))


def checked(root: Schema) -> tuple[Schema, bool]:
    """The document as plain objects and lists, and whether it may hold identifiers.

    Raises SchemaError if it is not JSON, nests deeper than MAX_DEPTH or has more than MAX_NODES
    objects and lists.
    """
    if isinstance(root, bool):
        return root, False
    todo: list[Any] = [] if isinstance(root, bool) else [root]
    depth, count, has_names, is_plain = 0, 0, False, True
    while todo:
        depth += 1
        below: list[Any] = []
        for node in todo:
            if type(node) is dict or isinstance(node, Mapping):
                is_plain = is_plain and type(node) is dict
                has_names = has_names or not _NAMING.isdisjoint(node)
                for key in node:
                    if type(key) is not str or not key.isascii():
                        _check_key(key, root, node)
                values: Iterable[Any] = node.values()
            else:
                values = node
            for value in values:
                kind = type(value)
                if kind is dict or kind is list:
                    below.append(value)
                elif not (kind is str or kind is bool or kind is int or value is None):
                    if isinstance(value, Mapping):
                        is_plain = False
                        below.append(value)
                    elif not (
                        isinstance(value, str | int)
                        or (isinstance(value, float) and math.isfinite(value))
                    ):
                        where = _path_of(root, value)
                        raise SchemaError(f"{value!r:.80} is no JSON value", where)
        count += len(todo)
        if count > MAX_NODES:
            raise SchemaError(f"more than {MAX_NODES} objects and lists", "$")
        if depth > MAX_DEPTH + 1:
            raise SchemaError(f"nested deeper than {MAX_DEPTH} levels", _path_of(root, todo[0]))
        todo = below
    if is_plain:
        return root, has_names
    return _plain(root), has_names  # type: ignore[return-value]


def check_size(root: object) -> None:
    """Raises SchemaError if `root`, written down, has too many levels or objects and lists.

    Objects in memory can share their parts, so that a few of them stand for a text without end.
    """
    depth, count = 0, 0
    todo: list[Any] = [] if isinstance(root, bool) else [root]
    while todo and count <= MAX_NODES:
        depth += 1
        if depth > MAX_DEPTH + 1:
            raise SchemaError(
                f"nested deeper than {MAX_DEPTH} levels, or in a circle", _path_of(root, todo[0])
            )
        below: list[Any] = []
        for node in todo:
            values = node.values() if isinstance(node, Mapping) else node
            below += [value for value in values if isinstance(value, Mapping | list | tuple)]
            if count + len(below) > MAX_NODES:
                break
        count += len(below)
        todo = below
    if count > MAX_NODES:
        raise SchemaError(
            f"more than {MAX_NODES} objects and lists, each counted as often as it is used", "$"
        )


def _check_key(key: object, root: Schema, node: object) -> None:
    if not isinstance(key, str):
        raise SchemaError(f"the key {key!r} is no string", _path_of(root, node))
    if any(SURROGATES[0] <= ord(c) <= SURROGATES[1] for c in key):
        raise SchemaError(
            f"the name {key!r} holds half of a surrogate pair: no text", _path_of(root, node)
        )


def _plain(node: object) -> object:
    if isinstance(node, Mapping):
        return {key: _plain(value) for key, value in node.items()}
    return [_plain(value) for value in node] if isinstance(node, list) else node


def _path_of(root: object, target: object) -> str:
    """Where the very object `target` stands."""
    for node, path in _located(root):
        if node is target:
            return path
    raise AssertionError("not in the document")


def _located(root: object) -> Iterator[tuple[object, str]]:
    todo: list[tuple[object, str]] = [(root, "$")]
    for node, path in todo:  # grows while it is walked: level by level, as there may be a circle
        yield node, path
        if isinstance(node, Mapping):
            todo += [(value, child(path, str(key))) for key, value in node.items()]
        elif isinstance(node, list | tuple):
            todo += [(value, child(path, i)) for i, value in enumerate(node)]
