"""References and combinators worked out: every demand as the shapes that satisfy it.

`allOf` multiplies alternatives, `anyOf` adds them, `not` takes them away, and `oneOf` is each
option without the others (`algebra.py`). Each demand is worked out once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import SchemaError
from .algebra import Algebra
from .demand import ANYTHING, NOTHING, Demand
from .keywords import check_keywords, child
from .plain import Formats, PlainKeywords, listed_cases
from .refs import Document
from .shapes import (
    ALL,
    ANY_KEY,
    NONE,
    STRING,
    ArrayShape,
    Cases,
    Listed,
    ObjectShape,
    Shape,
    identity,
    union,
)
from .string_set import StringSet
from .unevaluated import unseen_items, unseen_keys, untracked

_MAX_EXPANSION = 60


class Alternatives:
    """Works out the demands of one document.

    `note(path, keyword, reason)` is told of keywords that constrain nothing; the `(path, keyword)`
    pairs of `dropped` are left out. `visited` holds the nodes looked at so far, by path.
    """

    def __init__(
        self,
        document: Document,
        note: Callable[[str, str, str], None],
        dropped: frozenset[tuple[str, str]] = frozenset(),
        formats: Formats = "enforced",
    ) -> None:
        self.document = document
        self.visited: dict[str, dict[str, Any]] = {}
        self._plain = PlainKeywords(document, note, formats)
        self._dropped = dropped
        self._dropped_paths = frozenset(path for path, _ in dropped)
        self._known: dict[tuple[Demand, bool], Cases] = {}
        self._open: set[tuple[Demand, bool]] = set()
        algebra = Algebra(self.cases)
        self._meet, self._minus, self._is_void = algebra.meet, algebra.minus, algebra.is_void

    def is_void(self, shape: Shape) -> bool:
        """Whether it is sure, looking at what must be inside it, that no value has this shape."""
        return self._is_void(shape, 1)

    def cases(self, demand: Demand, *, tracked: bool = False) -> Cases:
        """The shapes that together hold exactly the values that satisfy `demand`.

        `tracked`: shapes say which members they evaluate, and are alternatives only where they
        evaluate different ones. Raises SchemaError.
        """
        if demand is ANYTHING:
            return ALL
        if demand is NOTHING:
            return NONE
        found = self._known.get((demand, tracked))
        if found is None:
            with self._opened(demand, tracked):
                found = self._known[demand, tracked] = self._worked_out(demand, tracked)
        return found

    @contextmanager
    def _opened(self, demand: Demand, tracked: bool) -> Iterator[None]:
        """While the demand is worked out: it must not ask for itself."""
        key = (demand, tracked)
        if key in self._open:
            raise SchemaError("refers to itself without an object or array between", demand.path)
        if len(self._open) > _MAX_EXPANSION:
            raise SchemaError("references and combinators nest too deeply", demand.path)
        self._open.add(key)
        try:
            yield
        finally:
            self._open.discard(key)

    def _worked_out(self, demand: Demand, tracked: bool) -> Cases:
        match demand.operation:
            case "schema":
                return self._schema(ALL, demand, tracked)
            case "listed":
                assert isinstance(demand.content, Listed)
                return listed_cases(list(demand.content.values), demand.path, tracked=tracked)
            case "all":
                return self._all(demand, tracked)
            case "any":
                return union(self.cases(part) for part in demand.parts)
            case _:
                return self._minus(ALL, self.cases(demand.parts[0]), demand.path, "not")

    def _all(self, demand: Demand, tracked: bool) -> Cases:
        parts = [part for part in demand.parts if part.operation != "not"]
        found = self._narrowed(ALL, parts, tracked, demand.path)
        refused = [self.cases(p.parts[0]) for p in demand.parts if p.operation == "not"]
        return self._minus(found, union(refused), demand.path, "not") if refused else found

    def _narrowed(
        self,
        found: Cases,
        demands: list[Demand],
        tracked: bool,
        path: str,
        keyword: str | None = None,
    ) -> Cases:
        """What of `found` satisfies all of `demands`.

        A demand that takes cases away comes last and is worked out within what is left by then, as
        a property that another demand requires may be what tells its options apart.
        """
        late: list[Demand] = []
        for demand in demands:
            if _takes_away(demand):
                late.append(demand)
            else:
                found = self._meet(found, self.cases(demand, tracked=tracked), path, keyword)
        for demand in late:
            if found is ALL or (demand, tracked) in self._known:
                found = self._meet(found, self.cases(demand, tracked=tracked), path, keyword)
            else:
                with self._opened(demand, tracked):
                    found = self._schema(found, demand, tracked)
        return found

    def _schema(self, within: Cases, node: Demand, tracked: bool) -> Cases:
        """What of `within` satisfies the schema."""
        node, _ = self.document.follow(node)
        if node is ANYTHING or node is NOTHING:
            return within if node is ANYTHING else NONE
        assert isinstance(node.schema, dict)
        schema: dict[str, Any] = node.schema
        self.visited[node.path] = schema
        check_keywords(schema, node.path)
        if node.path in self._dropped_paths:
            schema = {k: v for k, v in schema.items() if (node.path, k) not in self._dropped}
        used = schema.keys() & self.document.keywords
        if not used & _BEYOND_PLAIN:
            plain = self._plain.cases(node, schema, tracked=tracked)
            return self._meet(within, plain, node.path)
        tracks = tracked or not used.isdisjoint(("unevaluatedProperties", "unevaluatedItems"))
        found = self._meet(within, self._plain.cases(node, schema, tracked=tracks), node.path)
        if "enum" in used or "const" in used:
            constants = listed_cases(_constants(schema, used), node.path, tracked=tracks)
            found = self._meet(found, constants, node.path)
        if "propertyNames" in used and "object" in found:
            names = self._named(node, schema, "propertyNames")
            found = self._meet(found, {**ALL, "object": (self._with_names(names),)}, node.path)
        together: list[Demand] = []
        for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
            if keyword in used:
                together.append(self.document.resolve(keyword, schema[keyword], node))
        if "allOf" in used:
            together += self._options(node, schema, "allOf")
        if together:
            found = self._narrowed(found, together, tracks, node.path, "allOf")
        if "anyOf" in used:
            groups = [self.cases(o, tracked=tracks) for o in self._options(node, schema, "anyOf")]
            if tracks:
                found = self._any_told_apart(found, groups, node.path)
            else:
                found = self._meet(found, union(groups), node.path, "anyOf")
        if "if" in used:
            found = self._conditional(found, node, schema, used, tracks)
        if "not" in used:
            below = self.cases(self._named(node, schema, "not"))
            found = self._minus(found, below, node.path, "not")
        for keyword in ("dependencies", "dependentRequired", "dependentSchemas"):
            if keyword in used:
                found = self._dependent(found, node, schema[keyword], keyword, tracks)
        if "oneOf" in used:
            found = self._one_of(found, node, schema, tracks)
        if tracks:
            found = self._unevaluated(found, node, schema, used, tracked)
        return found

    def _named(self, node: Demand, schema: dict[str, Any], keyword: str) -> Demand:
        if keyword not in schema:
            return ANYTHING
        return self.document.demand(schema[keyword], child(node.path, keyword), node.scope)

    def _options(self, node: Demand, schema: dict[str, Any], keyword: str) -> list[Demand]:
        where = child(node.path, keyword)
        return [
            self.document.demand(option, child(where, i), node.scope)
            for i, option in enumerate(schema[keyword])
        ]

    def _conditional(
        self, found: Cases, node: Demand, schema: dict[str, Any], used: set[str], tracked: bool
    ) -> Cases:
        if not tracked and "then" not in used and "else" not in used:
            return found
        condition, path = self._named(node, schema, "if"), node.path
        yes = self._meet(found, self.cases(condition, tracked=tracked), path, "if")
        no = self._minus(found, self.cases(condition), path, "if")
        then = self.cases(self._named(node, schema, "then"), tracked=tracked)
        otherwise = self.cases(self._named(node, schema, "else"), tracked=tracked)
        return union((self._meet(yes, then, path, "if"), self._meet(no, otherwise, path, "if")))

    def _dependent(
        self, found: Cases, node: Demand, needs: dict[str, Any], keyword: str, tracked: bool
    ) -> Cases:
        path = node.path
        listed = {key: need for key, need in needs.items() if isinstance(need, list)}
        names = dict.fromkeys((n for key, need in listed.items() for n in (key, *need)), ANYTHING)
        pairs = frozenset((key, n) for key, need in listed.items() for n in need if n != key)
        if pairs and "object" in found:
            together = ObjectShape(path, names, needs=pairs)
            found = self._meet(found, {**ALL, "object": (together,)}, path, keyword)
        for key, need in needs.items():
            if "object" not in found:
                break
            if key in listed:
                continue
            demand = self.document.demand(need, child(path, keyword, key), node.scope)
            present = self._meet(
                _requiring(key, path), self.cases(demand, tracked=tracked), path, keyword
            )
            absent = ObjectShape(path, {key: NOTHING})
            met = {"object": (absent, *present.get("object", ()))}
            found = self._meet(found, {**ALL, **met}, path, keyword)
        return found

    def _one_of(self, found: Cases, node: Demand, schema: dict[str, Any], tracked: bool) -> Cases:
        options = self._options(node, schema, "oneOf")
        groups = [self.cases(option, tracked=tracked) for option in options]
        tag = schema.get("discriminator")
        if isinstance(tag, dict) and isinstance(name := tag.get("propertyName"), str):
            # OpenAPI: the property that tells the options apart is always there.
            groups = [self._meet(g, {**ALL, **_requiring(name, node.path)}, "$") for g in groups]
        within = [self._meet(found, group, node.path, "oneOf") for group in groups]
        for i in range(len(within)):
            others = union(groups[:i] + groups[i + 1 :])
            within[i] = self._minus(within[i], others, node.path, "oneOf")
        return union(within)

    def _any_told_apart(self, found: Cases, groups: list[Cases], path: str) -> Cases:
        """`anyOf` with one alternative per set of options that hold: all of those evaluate."""
        none_holds, some_hold = found, NONE
        for group in groups:
            some_hold = union(
                (
                    self._meet(some_hold, group, path, "anyOf"),
                    self._minus(some_hold, group, path, "anyOf"),
                    self._meet(none_holds, group, path, "anyOf"),
                )
            )
            none_holds = self._minus(none_holds, group, path, "anyOf")
        return some_hold

    def _unevaluated(
        self, found: Cases, node: Demand, schema: dict[str, Any], used: set[str], tracked: bool
    ) -> Cases:
        cases = dict(found)
        for keyword, kind in (("unevaluatedProperties", "object"), ("unevaluatedItems", "array")):
            if keyword not in used or kind not in cases:
                continue
            demand = self._named(node, schema, keyword)
            kept: list[Cases] = []
            for shape in cases.pop(kind):
                rest: Shape | None = None
                if isinstance(shape, ObjectShape):
                    rest = unseen_keys(shape, demand, tracked=tracked)
                elif isinstance(shape, ArrayShape):
                    rest = unseen_items(shape, demand, tracked=tracked)
                one: Cases = {kind: (shape,)}
                kept.append(one if rest is None else self._meet(one, {kind: (rest,)}, node.path))
            cases.update(union(kept))
        return cases if tracked else {kind: untracked(shapes) for kind, shapes in cases.items()}

    def _with_names(self, names: Demand) -> ObjectShape:
        """Objects whose keys all satisfy `names`."""
        strings = self.cases(names).get("string", ())
        if strings and all(isinstance(shape, Listed) for shape in strings):
            listed = [str(v) for s in strings if isinstance(s, Listed) for v in s.values]
            allowed = dict.fromkeys(listed, ANYTHING)
            return ObjectShape(names.path, allowed, ((ANY_KEY, NOTHING),))
        refused = self._minus(
            {"string": (STRING,)}, {"string": strings}, names.path, "propertyNames"
        )
        others = [(s, NOTHING) for s in refused.get("string", ()) if isinstance(s, StringSet)]
        return ObjectShape(names.path, {}, tuple(others))


_BEYOND_PLAIN = frozenset(
    "enum const propertyNames $ref $dynamicRef $recursiveRef allOf anyOf oneOf not if dependencies "
    "dependentRequired dependentSchemas unevaluatedProperties unevaluatedItems".split()
)


def _takes_away(demand: Demand) -> bool:
    """Whether cases of the demand may depend on what else holds."""
    schema = demand.schema
    return (
        demand.operation == "schema"
        and isinstance(schema, dict)
        and not _SUBTRACTING.isdisjoint(schema)
        and "unevaluatedProperties" not in schema
        and "unevaluatedItems" not in schema
    )


_SUBTRACTING = frozenset(("oneOf", "not", "if", "allOf"))


def _constants(schema: dict[str, Any], used: set[str]) -> list[object]:
    if "enum" not in used:
        return [schema["const"]]
    values: list[object] = schema["enum"]
    if "const" not in used:
        return values
    constant = identity(schema["const"])
    return [value for value in values if identity(value) == constant]


def _requiring(key: str, path: str) -> Cases:
    return {"object": (ObjectShape(path, {key: ANYTHING}, required=frozenset((key,))),)}
