"""JSON Schema to grammar rules, exactly: every text of the grammar is a valid instance.

The text is what `json.dumps(value, ensure_ascii=False)` writes, with the declared keys in the order
of the schema. Each sub-schema becomes one rule, found again by its content, so that recursion needs
no special case; rules are compiled from a queue, so that long chains of references cost no stack.
A keyword that cannot be expressed exactly raises SchemaError with its JSON path.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress

from .errors import SchemaError
from .ir import NEVER, Alt, Literal, Node, Ref, Rules
from .json_alternatives import Alternatives
from .json_arrays import array_node
from .json_build import VALUE, Build
from .json_keywords import CONSTRAINING, REFUSED, TYPES, check_keywords, constrains
from .json_merge import Flat, Sub, fingerprint, same
from .json_objects import object_node
from .json_refs import Document
from .json_scalars import as_dfa, number_node, satisfies, string_language, string_node
from .prune import first_loop, first_unproductive, prune
from .regular import Dfa, TooLarge, from_texts, to_rules

_MAX_FLAT_ENUM = 8


def schema_to_rules(
    schema: Mapping[str, object] | bool, *, separators: tuple[str, str] = (", ", ": ")
) -> Rules:
    """The JSON texts that are valid for `schema` (draft 2020-12, and what older drafts share).

    `separators` are those of `json.dumps`. Raises SchemaError, with the JSON path and the keyword,
    for a malformed or unsatisfiable schema and for one that has no exact grammar.
    """
    return _Compiler(Document(schema), separators).run()


class _Compiler:
    def __init__(self, document: Document, separators: tuple[str, str]) -> None:
        self.document = document
        self.alternatives = Alternatives(document)
        self.build = Build(separators, self.node)
        self.names: dict[str, str] = {}
        self.paths: dict[str, str] = {}
        self.queue: deque[tuple[str, Sub]] = deque()

    def run(self) -> Rules:
        root = self._rule(Sub(self.document.root, "$"), "root")
        while self.queue:
            name, sub = self.queue.popleft()
            self.build.rules[name] = self._body(sub)
        rules = Rules(root.name, self.build.rules)
        if loop := first_loop(rules):
            raise SchemaError(
                "refers to itself without an object or array between", self.paths[loop]
            )
        if bad := first_unproductive(rules):
            where = self.paths.get(bad, "$")
            raise SchemaError("no finite JSON value satisfies this", where)
        return prune(rules)

    def node(self, sub: Sub, hint: str) -> Node:
        """The node of a sub-schema: a reference, unless it is short."""
        sub, hint = self.document.follow(sub, hint)
        schema = sub.schema
        if isinstance(schema, bool) or not constrains(schema):
            return NEVER if schema is False else VALUE
        used = {keyword for keyword in schema if keyword in CONSTRAINING}
        if used == {"type"} and isinstance(kind := schema["type"], str):
            check_keywords(schema, sub.path)
            return Ref(kind)
        if used == {"const"}:
            return Literal(self._text(schema["const"], sub.path))
        return self._rule(sub, hint)

    def _rule(self, sub: Sub, hint: str) -> Ref:
        key = fingerprint(sub.schema)
        if key not in self.names:
            self.names[key] = self.build.reserve(hint)
            self.paths[self.names[key]] = sub.path
            self.queue.append((self.names[key], sub))
        return Ref(self.names[key])

    def _body(self, sub: Sub) -> Node:
        sub, _ = self.document.follow(sub)
        if isinstance(sub.schema, Mapping) and (options := self.alternatives.options(sub)):
            return _alt([self.node(option, "option") for option in options])
        nodes = [node for flat in self.alternatives.of(sub) for node in self._flat(flat)]
        return _alt(list(dict.fromkeys(nodes)))

    def _flat(self, flat: Flat) -> Iterator[Node]:
        """The nodes of one conjunction, one per type."""
        if flat.values is not None:
            allowed = [value for value in flat.values if satisfies(value, flat)]
            yield from self._constants([self._text(value, flat.path) for value in allowed])
            return
        for keyword, kind in flat.refused:
            if kind == "any" or kind in flat.types:
                advice = REFUSED[keyword][1]
                raise SchemaError(f"{keyword} has no exact grammar; {advice}", flat.path, keyword)
        for kind in TYPES:
            if kind not in flat.types:
                continue
            match kind:
                case "object":
                    yield object_node(flat, self._key_languages(flat), self.build)
                case "array":
                    yield array_node(flat, self._listed_items(flat), self.build)
                case "string":
                    yield string_node(flat, self.build)
                case "number":
                    yield number_node(flat, self.build)
                case _:
                    yield Ref(kind)

    def _key_languages(self, flat: Flat) -> list[Dfa] | None:
        """What `propertyNames` allows, as automata that all hold; None is any key."""
        languages: list[Dfa] = []
        for sub in flat.names:
            allowed = [f for f in self.alternatives.of(sub) if "string" in f.types]
            dfas = [as_dfa(self._string_language(f), f) for f in allowed]
            if len(dfas) != 1:
                raise SchemaError("propertyNames must be a single string schema", sub.path)
            languages += dfas
        return languages or None

    def _listed_items(self, flat: Flat) -> list[str] | None:
        """The texts of all values that an item may have, if items are distinct and listed."""
        if not flat.unique:
            return None
        values: list[object] = []
        for item in self.alternatives.of(flat.items):
            if item.values is None:
                return None
            values += [value for value in item.values if satisfies(value, item)]
        distinct = [v for i, v in enumerate(values) if not any(same(v, w) for w in values[:i])]
        return [self._text(value, flat.path) for value in distinct]

    def _string_language(self, flat: Flat) -> Node | Dfa:
        if flat.values is None:
            return string_language(flat)
        allowed = [v for v in flat.values if isinstance(v, str) and satisfies(v, flat)]
        return Alt(tuple(map(Literal, allowed)))

    def _constants(self, texts: list[str]) -> list[Node]:
        """The texts as options; many of them share their beginnings."""
        if len(texts) > _MAX_FLAT_ENUM:
            with suppress(TooLarge):
                dfa = from_texts(texts)
                node, rules = to_rules(dfa, self.build.reserve("enum"), lambda part: part)
                self.build.rules.update(rules)
                return [node]
        return [Literal(text) for text in texts]

    def _text(self, value: object, path: str) -> str:
        """A constant, written as `json.dumps` writes it."""
        try:
            text = json.dumps(
                value,
                ensure_ascii=False,
                separators=(self.build.item_separator, self.build.key_separator),
            )
            text.encode()
        except UnicodeEncodeError as error:
            raise SchemaError("a lone surrogate cannot be written as UTF-8", path) from error
        return text


def _alt(options: list[Node]) -> Node:
    return options[0] if len(options) == 1 else Alt(tuple(options))
