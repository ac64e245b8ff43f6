"""A schema document: bounded in size, made of JSON, with the targets of its references."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from .errors import SchemaError
from .ir import SURROGATES
from .json_keywords import CONSTRAINING, Schema, check_keywords, child
from .json_merge import Sub

MAX_DEPTH = 100
MAX_NODES = 20_000


def _refuse_surrogates(node: Mapping[str, object], path: str) -> None:
    for key in node:
        if any(SURROGATES[0] <= ord(c) <= SURROGATES[1] for c in key):
            raise SchemaError(f"the name {key!r} holds half of a surrogate pair: no text", path)


class Document:
    """A checked schema document; `root` is its root schema.

    Raises SchemaError if it is not JSON, nests deeper than MAX_DEPTH or has more than MAX_NODES
    objects and lists.
    """

    def __init__(self, root: object) -> None:
        if not isinstance(root, bool | Mapping):
            raise SchemaError(f"a schema is an object or a boolean, not {root!r:.80}", "$")
        self.root: Schema = root
        self._named: dict[str, Sub] = {}
        self._resources: list[str] = []
        self._repeated: set[str] = set()
        for node, path, depth in _containers(root):
            if depth > MAX_DEPTH:
                raise SchemaError(f"nested deeper than {MAX_DEPTH} levels", path)
            if isinstance(node, Mapping):
                _refuse_surrogates(node, path)
                self._note_names(node, path)

    def _note_names(self, node: Mapping[str, object], path: str) -> None:
        anchor, identity = node.get("$anchor"), node.get("$id", node.get("id"))
        if isinstance(anchor, str):
            if f"#{anchor}" in self._named:
                self._repeated.add(anchor)
            self._named[f"#{anchor}"] = Sub(node, path)
        if isinstance(identity, str):
            if path != "$" and not identity.startswith("#"):
                self._resources.append(path)
            self._named.setdefault(identity, Sub(node, path))
            self._named.setdefault(identity.rstrip("#"), Sub(node, path))

    def follow(self, sub: Sub, hint: str = "") -> tuple[Sub, str]:
        """Through references that have no other keyword beside them, and the last one's name."""
        seen: list[str] = []
        while isinstance(sub.schema, Mapping) and "$ref" in sub.schema:
            if [keyword for keyword in sub.schema if keyword in CONSTRAINING] != ["$ref"]:
                break
            check_keywords(sub.schema, sub.path)
            ref = str(sub.schema["$ref"])
            if ref in seen:
                raise SchemaError(f"$ref {ref!r} leads back to itself", sub.path, "$ref")
            seen.append(ref)
            hint = ref.rsplit("/", 1)[-1] if "/" in ref else hint
            sub = self.resolve(ref, sub.path)
        return sub, hint

    def resolve(self, ref: str, path: str) -> Sub:
        """The schema that the `$ref` at `path` means. Raises SchemaError."""
        base, _, fragment = ref.partition("#")
        if base:
            start = self._named.get(base)
            if start is None:
                raise SchemaError(
                    f"$ref {ref!r} is outside this document; copy its target into $defs",
                    path,
                    "$ref",
                )
            node, where = start.schema, start.path
        elif any(
            path == scope or path.startswith((f"{scope}.", f"{scope}["))
            for scope in self._resources
        ):
            raise SchemaError(
                f"$ref {ref!r} is relative to the $id of a schema around it; "
                "drop that $id and refer from the root",
                path,
                "$ref",
            )
        else:
            node, where = self.root, "$"
        if fragment and not fragment.startswith("/"):
            named = self._named.get(f"#{fragment}")
            if named is None or fragment in self._repeated:
                what = "no such anchor" if named is None else "more than one such anchor"
                raise SchemaError(f"$ref {ref!r}: {what}", path, "$ref")
            return named
        target: object = node
        for step in fragment.split("/")[1:]:
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(target, Mapping) and name in target:
                target = target[name]
                where = child(where, name)
            elif isinstance(target, list) and name.isdecimal() and int(name) < len(target):
                target = target[int(name)]
                where = child(where, int(name))
            else:
                raise SchemaError(f"$ref {ref!r}: there is no {name!r} at {where}", path, "$ref")
        if not isinstance(target, bool | Mapping):
            raise SchemaError(f"$ref {ref!r} leads to {target!r:.80}, no schema", path, "$ref")
        return Sub(target, where)


def _containers(root: object) -> Iterator[tuple[object, str, int]]:
    """Every object and list of a JSON value with its path and depth, without recursion."""
    todo: list[tuple[object, str, int]] = [(root, "$", 0)]
    count = 0
    while todo:
        node, path, depth = todo.pop()
        if isinstance(node, Mapping):
            for key in node:
                if not isinstance(key, str):
                    raise SchemaError(f"the key {key!r} is no string", path)
            children = [(value, child(path, key), depth + 1) for key, value in node.items()]
        elif isinstance(node, list):
            children = [(value, child(path, i), depth + 1) for i, value in enumerate(node)]
        elif (
            node is None
            or isinstance(node, str | bool | int)
            or (isinstance(node, float) and math.isfinite(node))
        ):
            continue
        else:
            raise SchemaError(f"{node!r:.80} is no JSON value", path)
        count += 1
        if count > MAX_NODES:
            raise SchemaError(f"more than {MAX_NODES} objects and lists", path)
        yield node, path, depth
        todo += reversed(children)
