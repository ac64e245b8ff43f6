"""A schema document, with the targets of its references.

References resolve as RFC 3986 and the drafts say: `$id` (draft 4: `id`) sets the base URI of what
is below it, `$anchor` and `$dynamicAnchor` name a node within its base. A dynamic reference is
static where only one node can be meant, and is refused otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import unquote, urldefrag, urljoin

from ..errors import SchemaError
from .demand import ANYTHING, NOTHING, Demand
from .keywords import CHILDREN, Schema, child, draft_of, keywords_of
from .metaschemas import metaschema, metaschema_draft
from .source import checked


class Document:
    """A checked schema document; `root` demands its root schema. Raises SchemaError."""

    def __init__(self, root: object) -> None:
        if not isinstance(root, bool | Mapping):
            raise SchemaError(f"a schema is an object or a boolean, not {root!r:.80}", "$")
        plain, has_names = checked(root)
        self.draft = draft_of(plain)
        self.keywords = keywords_of(self.draft)
        self.is_ref_alone = self.draft <= 7
        self._schema = plain
        self._numbers: dict[object, int] = {}
        self._seen: dict[tuple[int, str], int] = {}
        self._resources: dict[str, tuple[Schema, str]] = {"": (plain, "$")}
        self._anchors: dict[tuple[str, str], list[tuple[Schema, str, bool]]] = {}
        self._scopes: dict[str, str] = {}
        self._unscoped: dict[str, tuple[Schema, str]] = {}
        if has_names:
            self._note_names()
        self.root = self.demand(plain, "$", self._scopes.get("$", ""))

    def demand(self, schema: object, path: str, scope: str) -> Demand:
        """The demand of a schema of this document. `scope`: the base URI around it."""
        if schema is True or schema == {}:
            return ANYTHING
        if schema is False:
            return NOTHING
        assert isinstance(schema, dict)
        scope = self._scopes.get(path, scope)
        number = self._number(schema, scope)
        if number == 0:
            return ANYTHING
        return Demand("schema", number, schema=schema, path=path, scope=scope)

    def follow(self, demand: Demand, hint: str = "") -> tuple[Demand, str]:
        """Through references that have no other keyword beside them, and the last one's name."""
        seen: set[Demand] = set()
        while (
            demand.operation == "schema"
            and isinstance(demand.schema, dict)
            and isinstance(demand.schema.get("$ref"), str)
            and (
                self.is_ref_alone
                or not any(k != "$ref" and k in self.keywords for k in demand.schema)
            )
        ):
            ref = str(demand.schema["$ref"])
            if demand in seen:
                raise SchemaError(f"$ref {ref!r:.200} leads back to itself", demand.path, "$ref")
            seen.add(demand)
            hint = ref.rsplit("/", 1)[-1] if "/" in ref else hint
            demand = self.resolve("$ref", ref, demand)
        return demand, hint

    def resolve(self, keyword: str, ref: str, at: Demand) -> Demand:
        """The demand that the reference `ref` of a node means. Raises SchemaError."""

        def fail(message: str) -> SchemaError:
            return SchemaError(f"{keyword} {ref!r:.200} {message}", at.path, keyword)

        base, fragment = urldefrag(ref)
        base = urljoin(at.scope, base) if base else at.scope
        resource = (
            self._resources.get(base)
            or self._unscoped.get(urldefrag(ref)[0])
            or self._metaschema(base)
        )
        if resource is None:
            raise fail("is outside this document; copy its target into $defs")
        if fragment and not fragment.startswith("/"):
            named = self._anchors.get((base, unquote(fragment)), [])
            if len(named) != 1:
                raise fail(
                    "has more than one such anchor" if named else "names no anchor of this document"
                )
            self._check_dynamic(keyword, unquote(fragment), named[0], at)
            return self.demand(named[0][0], named[0][1], base)
        steps = [
            unquote(step).replace("~1", "/").replace("~0", "~") for step in fragment.split("/")
        ]
        found = self._walk(resource, steps[1:], base)
        if isinstance(found, str) and resource[1] != "$":
            # A pointer that was meant from the document's root, though an $id is nearer.
            found = self._walk((self._schema, "$"), steps[1:], self._scopes.get("$", ""))
        if isinstance(found, str):
            raise fail(f"has no target: {found}")
        target, where, scope = found
        if not isinstance(target, bool | dict):
            raise fail(f"leads to {target!r:.80}, no schema")
        if keyword == "$recursiveRef":
            self._check_recursive(target, at)
        return self.demand(target, where, scope)

    def _metaschema(self, uri: str) -> tuple[Schema, str] | None:
        """The metaschema with this URI, from now on a part of the document.

        None for one of a newer draft, whose keywords would mean something else here, and where the
        document extends metaschemas by dynamic anchors of its own.
        """
        draft = metaschema_draft(uri)
        names = (entry for entries in self._anchors.values() for entry in entries)
        nodes = (node for node, _ in self._resources.values() if isinstance(node, dict))
        is_extended = any(is_dynamic for _, _, is_dynamic in names) or any(
            "$recursiveAnchor" in node for node in nodes
        )
        if draft is None or draft > self.draft or is_extended:
            return None
        return self._resources.setdefault(uri, (metaschema(draft), uri))

    def _walk(
        self, start: tuple[Schema, str], steps: list[str], scope: str
    ) -> tuple[object, str, str] | str:
        """The node at the end of a pointer, its path and its base URI; or where it broke off."""
        target: object = start[0]
        where = start[1]
        for name in steps:
            if isinstance(target, dict) and name in target:
                target = target[name]
                where = child(where, name)
            elif isinstance(target, list) and name.isdecimal() and int(name) < len(target):
                target = target[int(name)]
                where = child(where, int(name))
            else:
                return f"there is no {name!r:.200} at {where}"
            scope = self._scopes.get(where, scope)
        return target, where, scope

    def _check_dynamic(
        self, keyword: str, name: str, found: tuple[Schema, str, bool], at: Demand
    ) -> None:
        """A dynamic reference to a dynamic anchor may mean any one of that name."""
        if keyword != "$dynamicRef" or not found[2]:
            return
        rivals = [
            entry
            for (_, anchor), entries in self._anchors.items()
            if anchor == name
            for entry in entries
            if entry[2]
        ]
        if len(rivals) > 1:
            raise SchemaError(
                f"$dynamicRef '#{name}' may mean any of {len(rivals)} anchors; use $ref",
                at.path,
                "$dynamicRef",
            )

    def _check_recursive(self, target: Schema, at: Demand) -> None:
        rivals = [
            node
            for node, _ in self._resources.values()
            if isinstance(node, dict) and node.get("$recursiveAnchor") is True
        ]
        is_dynamic = isinstance(target, dict) and target.get("$recursiveAnchor") is True
        if is_dynamic and any(rival is not target for rival in rivals):
            raise SchemaError(
                "$recursiveRef may mean more than one schema; use $ref", at.path, "$recursiveRef"
            )

    def _note_names(self) -> None:
        """Walks the places where schemas stand, for identifiers and anchors."""
        key = "id" if self.draft == 4 else "$id"
        is_unnamed = isinstance(self._schema, dict) and "$schema" not in self._schema
        todo: list[tuple[object, str, str]] = [(self._schema, "$", "")]
        while todo:
            node, path, scope = todo.pop()
            if not isinstance(node, dict):
                continue
            identity = node.get(key)
            older = node.get("id")
            if is_unnamed and isinstance(older, str):
                self._unscoped.setdefault(urldefrag(older)[0], (node, path))
            is_ref = self.is_ref_alone and "$ref" in node
            if isinstance(identity, str) and not is_ref:
                # urljoin knows no fragments of a URN
                whole = scope + identity if identity[:1] == "#" else urljoin(scope, identity)
                base, anchor = urldefrag(whole)
                if anchor and base == urldefrag(scope)[0] and self.draft <= 7:
                    self._anchors.setdefault((base, anchor), []).append((node, path, False))
                else:
                    scope = base
                    self._resources.setdefault(scope, (node, path))
                    self._scopes[path] = scope
            for keyword, is_dynamic in (("$anchor", False), ("$dynamicAnchor", True)):
                anchor = node.get(keyword)  # type: ignore[assignment]
                if isinstance(anchor, str):
                    self._anchors.setdefault((scope, anchor), []).append((node, path, is_dynamic))
            for keyword, value in node.items():
                how = CHILDREN.get(keyword)
                if how is None:
                    continue
                where = child(path, keyword)
                if isinstance(value, list):
                    todo += [(item, child(where, i), scope) for i, item in enumerate(value)]
                elif how in ("one", "either"):
                    todo.append((value, where, scope))
                elif isinstance(value, dict):
                    todo += [(below, child(where, name), scope) for name, below in value.items()]

    def _number(self, schema: object, scope: str) -> int:
        """Equal for schemas with equal content: what is an annotation does not count, but the
        order of keys does, as it is the order of output. 0 constrains nothing."""
        if isinstance(schema, bool) or not isinstance(schema, dict):
            return -1 if schema is False else 0 if schema is True else self._intern(repr(schema))
        found = self._seen.get((id(schema), scope))
        if found is not None:
            return found
        parts: list[object] = []
        for keyword, value in schema.items():
            if keyword not in self.keywords:
                continue
            how = CHILDREN.get(keyword)
            if type(value) is str:
                parts.append((keyword, value))
            elif how is None or type(value) is bool:
                parts.append((keyword, 0, json.dumps(value)))
            elif isinstance(value, list):
                parts.append((keyword, 1, tuple([self._number(item, scope) for item in value])))
            elif how in ("one", "either"):
                parts.append((keyword, 2, self._number(value, scope)))
            elif isinstance(value, dict):
                below = tuple([(n, self._number(s, scope)) for n, s in value.items()])
                parts.append((keyword, 3, below))
            else:
                parts.append((keyword, 0, json.dumps(value)))
        number = self._intern((scope, *parts)) if parts else 0
        self._seen[id(schema), scope] = number
        return number

    def _intern(self, content: object) -> int:
        return self._numbers.setdefault(content, len(self._numbers) + 1)
