"""Disjunctions of schemas: references and combinators resolved into flat alternatives.

`anyOf` is a union, which a grammar has. `oneOf` is one only where no value satisfies two options:
that is proved (different types, constants, ranges, a required property that tells them apart), or
made so (an option is narrowed by the negation of another, where that is a plain schema). The rest
is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import combinations, product

from . import regular
from .errors import SchemaError
from .json_keywords import CONSTRAINING, check_keywords, child
from .json_merge import ALL_TYPES, Flat, Sub, flat_of, merge, same
from .json_refs import Document
from .json_scalars import as_dfa, satisfies, string_language

MAX_ALTERNATIVES = 256
_MAX_EXPANSION = 50
_MAX_COMPARED_DEPTH = 4


class Alternatives:
    """Resolves the schemas of one document."""

    def __init__(self, document: Document) -> None:
        self.document = document

    def options(self, sub: Sub) -> list[Sub] | None:
        """The options of a node that is nothing but a union of them; None if it is more."""
        schema = sub.schema
        assert isinstance(schema, Mapping)
        used = {keyword for keyword in schema if keyword in CONSTRAINING}
        if used not in ({"anyOf"}, {"oneOf"}):
            return None
        check_keywords(schema, sub.path)
        (keyword,) = used
        options = self._listed(schema, keyword, sub.path)
        if keyword == "anyOf" or self._exclusive([self.of(option) for option in options]):
            return options
        return None

    def of(self, sub: Sub, depth: int = 0) -> list[Flat]:
        """Flat schemas that together accept exactly what `sub` does. Raises SchemaError."""
        if depth > _MAX_EXPANSION:
            raise SchemaError(
                "references and combinators nest too deeply or lead back here", sub.path
            )
        sub, _ = self.document.follow(sub)
        schema, path = sub.schema, sub.path
        if isinstance(schema, bool):
            return [Flat(path)] if schema else []
        check_keywords(schema, path)
        parts: list[list[Flat]] = [[flat_of(schema, path)]]
        if "$ref" in schema:
            parts.append(self.of(self.document.resolve(str(schema["$ref"]), path), depth + 1))
        if "allOf" in schema:
            parts += [self.of(option, depth + 1) for option in self._listed(schema, "allOf", path)]
        if "anyOf" in schema:
            options = self._listed(schema, "anyOf", path)
            parts.append([flat for option in options for flat in self.of(option, depth + 1)])
        if "not" in schema:
            below = Sub(schema["not"], child(path, "not"))  # type: ignore[arg-type]
            parts.append(self._not(self.of(below, depth + 1), path, "not"))
        for condition, needs in _dependencies(schema, path):
            parts.append([*condition, *self.of(needs, depth + 1)])
        flats = self._all(parts, path)
        if "oneOf" in schema:
            groups = [self.of(o, depth + 1) for o in self._listed(schema, "oneOf", path)]
            flats = self._one_of(flats, groups, path)
        return flats

    def _listed(self, schema: Mapping[str, object], keyword: str, path: str) -> list[Sub]:
        """The options of a combinator; a discriminator makes its property required in each."""
        listed = schema[keyword]
        assert isinstance(listed, list)
        options = [Sub(option, child(path, keyword, i)) for i, option in enumerate(listed)]
        tag = schema.get("discriminator")
        if keyword == "oneOf" and isinstance(tag, Mapping):
            name = tag.get("propertyName")
            if isinstance(name, str):
                return [self._requiring(option, name) for option in options]
        return options

    def _requiring(self, sub: Sub, name: str) -> Sub:
        followed, _ = self.document.follow(sub)
        if isinstance(followed.schema, Mapping):
            required = followed.schema.get("required")
            if isinstance(required, list) and name in required:
                return sub
        return Sub({"allOf": [sub.schema, {"required": [name]}]}, sub.path)

    def _all(self, parts: list[list[Flat]], path: str) -> list[Flat]:
        """The conjunction of disjunctions, multiplied out."""
        flats = parts[0]
        for part in parts[1:]:
            if len(flats) * len(part) > MAX_ALTERNATIVES:
                raise SchemaError(
                    f"combinators multiply out to more than {MAX_ALTERNATIVES} cases", path
                )
            merged = (merge(a, b) for a, b in product(flats, part))
            flats = [flat for flat in merged if flat is not None]
        return flats

    def _one_of(self, base: list[Flat], groups: list[list[Flat]], path: str) -> list[Flat]:
        """What satisfies `base` and exactly one of `groups`."""
        within = [self._all([base, group], path) for group in groups]
        found: list[Flat] = []
        for i, here in enumerate(within):
            parts = [here]
            for j, there in enumerate(within):
                if i != j and not self._apart(here, there, 0):
                    parts.append(self._not(groups[j], path, "oneOf"))
            found += self._all(parts, path)
        return found

    def _not(self, flats: Iterable[Flat], path: str, keyword: str) -> list[Flat]:
        """What satisfies none of `flats`. Raises SchemaError where that is no plain schema."""
        parts: list[list[Flat]] = [[Flat(path)]]
        for flat in flats:
            negated = _negate(flat)
            if negated is None:
                advice = (
                    "use anyOf, or make the options exclude each other, as by a required "
                    "property with a different const in each"
                    if keyword == "oneOf"
                    else "say what is allowed instead"
                )
                raise SchemaError(f"{keyword} has no exact grammar here; {advice}", path, keyword)
            parts.append(negated)
        return self._all(parts, path)

    def _exclusive(self, groups: list[list[Flat]]) -> bool:
        return all(self._apart(a, b, 0) for a, b in combinations(groups, 2))

    def _apart(self, left: list[Flat], right: list[Flat], depth: int) -> bool:
        """Whether it is sure that no value satisfies one of `left` and one of `right`."""
        return all(self._disjoint(a, b, depth) for a, b in product(left, right))

    def _disjoint(self, a: Flat, b: Flat, depth: int) -> bool:
        for one, other in ((a, b), (b, a)):
            if one.values is None:
                continue
            if other.values is not None:
                return not any(same(v, w) for v in one.values for w in other.values)
            return not any(_may_satisfy(value, other) for value in one.values)
        return all(self._disjoint_as(kind, a, b, depth) for kind in a.types & b.types)

    def _disjoint_as(self, kind: str, a: Flat, b: Flat, depth: int) -> bool:
        match kind:
            case "number":
                return _below(a, b) or _below(b, a)
            case "string":
                if (a.length & b.length).is_empty:
                    return True
                if not (a.patterns or a.formats) or not (b.patterns or b.formats):
                    return False
                try:
                    dfas = [as_dfa(string_language(flat), flat) for flat in (a, b)]
                    return regular.intersect(*dfas).is_empty()
                except (regular.TooLarge, SchemaError):
                    return False
            case "array":
                return (a.count & b.count).is_empty
            case "object" if depth < _MAX_COMPARED_DEPTH:
                keys = dict.fromkeys((*a.required, *b.required))
                return any(self._differ(a, b, key, depth) for key in keys)
            case _:
                return False

    def _differ(self, a: Flat, b: Flat, key: str, depth: int) -> bool:
        subs = [
            dict(flat.properties).get(key, Sub(True, "$") if flat.key_patterns else flat.extra)
            for flat in (a, b)
        ]
        if any(sub.schema is False for sub in subs):
            return True
        if any(sub.schema in (True, {}) for sub in subs):
            return False
        return self._apart(self.of(subs[0]), self.of(subs[1]), depth + 1)


def _may_satisfy(value: object, flat: Flat) -> bool:
    try:
        return satisfies(value, flat)
    except SchemaError:
        return True


def _below(a: Flat, b: Flat) -> bool:
    """Whether every number of `a` is below every number of `b`."""
    if a.limits.high is None or b.limits.low is None:
        return False
    (high, high_strict), (low, low_strict) = a.limits.high, b.limits.low
    return high < low or (high == low and (high_strict or low_strict))


def _negate(flat: Flat) -> list[Flat] | None:
    """What does not satisfy `flat`, if that is one keyword that a plain schema can negate."""
    blank = Flat(flat.path, items=flat.items, extra=flat.extra)
    others = ALL_TYPES - flat.types
    outside = [replace(blank, types=others)] if others else []
    if replace(flat, types=ALL_TYPES) == blank:
        return outside
    if flat.types >= {"object"} and replace(flat, types=ALL_TYPES, required=()) == blank:
        objects = replace(blank, types=frozenset(("object",)))
        missing = Sub(False, flat.path)
        lacking = [replace(objects, properties=((key, missing),)) for key in flat.required]
        return [*outside, *lacking]
    return None


def _dependencies(schema: Mapping[str, object], path: str) -> Iterable[tuple[list[Flat], Sub]]:
    """`(the cases that need nothing, what all other cases need)` per dependency."""
    for keyword in ("dependencies", "dependentRequired", "dependentSchemas"):
        members = schema.get(keyword, {})
        assert isinstance(members, Mapping)
        for key, needs in members.items():
            where = child(path, keyword, key)
            free = Flat(path, items=Sub(True, path), extra=Sub(True, path))
            absent = replace(
                free,
                types=frozenset(("object",)),
                properties=((key, Sub(False, where)),),
            )
            others = replace(free, types=ALL_TYPES - {"object"})
            if isinstance(needs, list):
                needs = {"required": needs}
            present = {"allOf": [{"type": "object", "required": [key]}, needs]}
            yield [absent, others], Sub(present, where)
