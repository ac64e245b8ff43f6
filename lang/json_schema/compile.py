"""JSON Schema to grammar rules, exactly: every text of the grammar is a valid instance.

A schema is worked out to shapes (`alternatives.py`), and each object or array shape becomes
one rule (`objects.py`, `arrays.py`). A keyword that cannot be expressed exactly raises
SchemaError with its JSON path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..automaton.automaton import Automaton
from ..errors import GrammarError, SchemaError
from ..ir.facts import Survey
from ..ir.nodes import EMPTY, NEVER, Alt, Literal, Node, Ref, Rules, Seq
from ..ir.prune import first_unproductive, prune
from .alternatives import Alternatives
from .arrays import array_node
from .build import Build
from .keywords import check_keywords
from .layout import Layout
from .negations import outermost_negation
from .objects import object_node
from .plain import Formats
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
    schema: Mapping[str, object] | bool,
    layout: Layout | None = None,
    *,
    lenient: bool = False,
    formats: Formats = "enforced",
) -> CompiledSchema:
    """The JSON texts, in this layout (by default `Layout()`), that are valid for `schema`.

    The draft is the one that `$schema` names, or else the newest. The notes list formats that do
    not constrain and, with `lenient`, each keyword that was dropped because it has no
    exact grammar, or because one below it has none and to drop that would refuse more
    (`negations.py`). Raises SchemaError, with the JSON path and the keyword, for a malformed or
    unsatisfiable schema and, without `lenient`, for one that has no exact grammar.
    """
    document = Document(schema)
    layout = layout or Layout()
    dropped: dict[tuple[str, str], Note] = {}
    while True:
        compilation = _Compilation(document, layout, frozenset(dropped), formats)
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
        self,
        document: Document,
        layout: Layout,
        dropped: frozenset[tuple[str, str]],
        formats: Formats,
    ) -> None:
        self.document = document
        self.notes: dict[tuple[str, str], Note] = {}
        self.alternatives = Alternatives(document, self._note, dropped, formats)
        self.build = Build(self.alternatives, layout)

    def run(self) -> Rules:
        build = self.build
        value = build.node(self.document.root, 0, "root")
        text = build.punctuation.document(value)
        root = text if isinstance(text, Ref) else build.define("text", text)
        build.run(self._node)
        self._leave_out_too_short()
        rules = Rules(root.name, build.rules)
        if value != NEVER and build.is_productive():
            return rules
        survey = Survey(rules)
        to_blame = first_unproductive(survey)
        if to_blame is not None:
            what = "no finite JSON value satisfies this"
            if to_blame in build.distinct:
                what = "too few values: the items, or keys, that must come cannot all differ"
            raise SchemaError(what, build.paths.get(to_blame, "$"))
        return prune(survey)

    def _leave_out_too_short(self) -> None:
        """Makes rules of items or keys that differ NEVER if they have too few values."""
        possible = self.build.distinct
        while possible:  # again for each list that one without a text stands in
            dead = _without_text(possible, self.build.rules)
            possible = [name for name in possible if dead and name not in dead]
            for name in dead:
                self.build.make(name, NEVER)

    def _node(self, shape: ObjectShape | ArrayShape, depth: int) -> Node:
        if isinstance(shape, ObjectShape):
            return object_node(shape, depth, self.build)
        return array_node(shape, depth, self.build)

    def _note(self, path: str, keyword: str, reason: str) -> None:
        self.notes[path, keyword] = Note(path, keyword, reason)


def _without_text(names: list[str], rules: Mapping[str, Node]) -> set[str]:
    """The rules of which it is plain, at their beginning, that they have no text.

    They are looked at as parts of one grammar, each behind its number, so that it is made once.
    """
    marks = {name: f"{number}:" for number, name in enumerate(names)}
    parts = (Seq((Literal(mark), Ref(name))) for name, mark in marks.items())
    root = "any of them"  # no other rule has a name like that
    automaton = Automaton(Rules(root, {**rules, root: Alt((EMPTY, *parts))}))

    def has_text(name: str) -> bool:
        try:
            return automaton.accepts_prefix(marks[name].encode())
        except GrammarError:  # it is too ambiguous to tell, and no better where it is used
            return True

    return {name for name in names if not has_text(name)}
