"""JSON Schema to grammar rules, exactly: every text of the grammar is a valid instance.

A schema is worked out to shapes (`alternatives.py`), and each object or array shape becomes
one rule (`objects.py`, `arrays.py`). A keyword that cannot be expressed exactly raises
SchemaError with its JSON path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import SchemaError
from ..ir.facts import productive_rules
from ..ir.nodes import NEVER, Node, Ref, Rules
from ..ir.prune import first_unproductive, prune
from .alternatives import Alternatives
from .arrays import array_node
from .build import Build
from .keywords import check_keywords
from .layout import Layout
from .negations import outermost_negation
from .objects import object_node
from .refs import Document
from .shapes import ArrayShape, ObjectShape

_MAX_DROPPED = 50


@dataclass(frozen=True, slots=True)
class Note:
    """A keyword that constrains nothing in the grammar: where it stands, and why."""

    path: str
    keyword: str
    reason: str


@dataclass(frozen=True, slots=True)
class CompiledSchema:
    """The grammar of a schema, and what in the schema it leaves out."""

    rules: Rules
    notes: tuple[Note, ...]


def compile_schema(
    schema: Mapping[str, object] | bool, layout: Layout | None = None, *, lenient: bool = False
) -> CompiledSchema:
    """The JSON texts, in this layout (by default `Layout()`), that are valid for `schema`.

    The draft is the one that `$schema` names, or else the newest. The notes list formats that the
    standard does not define and, with `lenient`, each keyword that was dropped because it has no
    exact grammar, or because one below it has none and to drop that would refuse more
    (`negations.py`). Raises SchemaError, with the JSON path and the keyword, for a malformed or
    unsatisfiable schema and, without `lenient`, for one that has no exact grammar.
    """
    document = Document(schema)
    layout = layout or Layout()
    dropped: dict[tuple[str, str], Note] = {}
    while True:
        compilation = _Compilation(document, layout, frozenset(dropped))
        try:
            rules = compilation.run()
        except SchemaError as error:
            keyword = _droppable(error, compilation.alternatives) if lenient else None
            if keyword is None:
                raise
            at = outermost_negation(document, error.path, dropped) or (error.path, keyword)
            if at in dropped or len(dropped) >= _MAX_DROPPED:
                raise
            dropped[at] = Note(*at, f"dropped: {error}")
        else:
            return CompiledSchema(rules, (*dropped.values(), *compilation.notes.values()))


def _droppable(error: SchemaError, alternatives: Alternatives) -> str | None:
    """The keyword that the error is about, if it is a well-formed one of the node at its path."""
    keyword = error.keyword
    node = alternatives.visited.get(error.path, {})
    if keyword not in node or keyword == "$ref":
        return None
    try:
        check_keywords(node, error.path)
    except SchemaError:
        return None
    return keyword


class _Compilation:
    """One attempt at a document."""

    def __init__(
        self, document: Document, layout: Layout, dropped: frozenset[tuple[str, str]]
    ) -> None:
        self.document = document
        self.notes: dict[tuple[str, str], Note] = {}
        self.alternatives = Alternatives(document, self._note, dropped)
        self.build = Build(self.alternatives, layout)

    def run(self) -> Rules:
        build = self.build
        value = build.node(self.document.root, 0, "root")
        text = build.punctuation.document(value)
        root = text if isinstance(text, Ref) else build.define("text", text)
        build.run(self._node)
        rules = Rules(root.name, build.rules)
        if value != NEVER and build.is_productive():
            return rules
        alive = productive_rules(rules)
        if len(alive) == len(rules.rules):
            return rules
        if rules.root not in alive:
            where = build.paths.get(first_unproductive(rules, alive) or rules.root, "$")
            raise SchemaError("no finite JSON value satisfies this", where)
        return prune(rules, alive)

    def _node(self, shape: ObjectShape | ArrayShape, depth: int) -> Node:
        if isinstance(shape, ObjectShape):
            return object_node(shape, depth, self.build)
        return array_node(shape, depth, self.build)

    def _note(self, path: str, keyword: str, reason: str) -> None:
        self.notes[path, keyword] = Note(path, keyword, reason)
