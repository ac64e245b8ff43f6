"""Structural tags: free text in which a marker opens a constrained region.

    tg.gen("reply", tags=[tg.Tag("<tool>", "</tool>", tools=[search, weather])])

The model may write what it likes, but once it has written `<tool>`, what follows is a tool call and
then `</tool>`, exactly. So a begin marker never stands in the text except to open its region.

A model may have a control token whose text is the marker, as many have for `<tool_call>`. It then
writes the marker as that token, and never as text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import ParameterError
from .free_text import MAX_CHARACTERS, before, without
from .ir.nodes import (
    SURROGATES,
    Alt,
    ControlToken,
    Node,
    Ref,
    Repeat,
    Rules,
    Seq,
)
from .ir.walk import fold, with_children

if TYPE_CHECKING:
    from .automaton.substring import SubstringOf
    from .constraint import Constraint
    from .grammar import Grammar


MAX_OVERLAPS = 16
"""Different free texts that may have to stand before begin markers, because these overlap."""


@dataclass(frozen=True, slots=True)
class Tag:
    """A region between two markers, and what may stand in it.

    `regex`, `schema`, `grammar`, `choices`, `substring_of` and `tools` are those of `gen`, at most
    one; without any the region is free text up to `end`.
    """

    begin: str
    end: str
    regex: str | None = field(default=None, kw_only=True)
    schema: object = field(default=None, kw_only=True)
    grammar: Grammar | str | None = field(default=None, kw_only=True)
    choices: Sequence[str] | None = field(default=None, kw_only=True)
    substring_of: str | SubstringOf | None = field(default=None, kw_only=True)
    tools: Sequence[Callable[..., Any]] | None = field(default=None, kw_only=True)

    def content(self) -> dict[str, Any]:
        """The arguments, of those that `gen` has too, that were given."""
        names = ("regex", "schema", "grammar", "choices", "substring_of", "tools")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class Tags:
    """Free text with regions of these tags, in any order and number.

    at_least_one: some region must come. stop_after_first: the text ends with its first region.
    """

    tags: Sequence[Tag]
    at_least_one: bool = field(default=False, kw_only=True)
    stop_after_first: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Region:
    """A region that the model wrote: its `tag`, the `text` between the markers, and its `value`."""

    tag: Tag
    text: str
    value: Any


class TaggedText:
    """The grammar of `tags` and the parts of its texts; `contents` says what each region holds."""

    def __init__(self, tags: Tags, contents: Sequence[Constraint | None]) -> None:
        self._tags = tags
        self._contents = tuple(contents)

    def rules(self) -> Rules:
        """The grammar of the whole text.

        Raises ParameterError for markers that overlap in too many ways.
        """
        begins = tuple(tag.begin for tag in self._tags.tags)
        rules: dict[str, Node] = {}
        regions: dict[Node, list[Node]] = {}  # by the free text that may stand before their marker
        for number, (tag, content) in enumerate(
            zip(self._tags.tags, self._contents, strict=True), start=1
        ):
            if content is None:
                body = before(tag.end, (tag.end,))
            else:
                inner = renamed(content.grammar.rules, f"region{number}-")
                rules |= inner.rules
                body = Ref(inner.root)
            region = Seq((_marker(tag.begin), body, _marker(tag.end)))
            regions.setdefault(before(tag.begin, begins), []).append(region)
            if len(regions) > MAX_OVERLAPS:
                raise ParameterError(
                    "tags",
                    "the ends of begin markers are the beginnings of others in too many ways; let "
                    "all of them begin with the same character, such as <, and none have it inside",
                )
        least = int(self._tags.at_least_one)
        opened = [Seq((free, Alt(tuple(options)))) for free, options in regions.items()]
        rules["region"] = Alt(tuple(opened))
        text: Node
        if self._tags.stop_after_first:
            text = Ref("region") if least else Alt((Ref("region"), without(begins)))
        else:
            text = Seq((Repeat(Ref("region"), least, None), without(begins)))
        rules["root"] = text
        return Rules("root", rules)

    def parse(self, text: str) -> list[str | Region]:
        """Free texts, which are not empty, and regions, in order.

        Raises ValueError for a text that is none of these tags, or a value that is refused.
        """
        parts: list[str | Region] = []
        at = 0
        for span in self._regions(text):
            if span.opens > at:
                parts.append(text[at : span.opens])
            tag, content = self._tags.tags[span.tag], self._contents[span.tag]
            inside = text[span.opens + len(tag.begin) : span.closes]
            parts.append(Region(tag, inside, inside if content is None else content.parse(inside)))
            at = span.stop
        if at < len(text):
            parts.append(text[at:])
        return parts

    def _regions(self, text: str) -> list[_Span]:
        """Where the regions are; a region's own text may hold its end marker.

        Depth first, over where each region may close. A place is left for good when nothing fits
        behind it, so this takes no more steps than there are markers.
        """
        if self._opening(text, 0) is None:
            return []
        found: list[_Span] = []
        choices = [self._closings(text, 0)]
        left: set[int] = set()
        while choices:
            span = next(choices[-1], None)
            if span is None:
                choices.pop()
                if found:
                    found.pop()
            elif span.stop not in left:
                left.add(span.stop)
                found.append(span)
                if self._opening(text, span.stop) is None:
                    return found
                choices.append(self._closings(text, span.stop))
        raise ValueError("a begin marker is not followed by its region")

    def _opening(self, text: str, at: int) -> tuple[int, int] | None:
        """Where the first marker is, and the number of its tag."""
        found = ((text.find(tag.begin, at), number) for number, tag in enumerate(self._tags.tags))
        return min((place for place in found if place[0] >= 0), default=None)

    def _closings(self, text: str, at: int) -> Iterator[_Span]:
        """The ways to read the first region behind `at`, the shortest first."""
        opening = self._opening(text, at)
        assert opening is not None
        opens, number = opening
        tag, content = self._tags.tags[number], self._contents[number]
        begins = opens + len(tag.begin)
        closes = text.find(tag.end, begins)
        while closes >= 0:
            stop = closes + len(tag.end)
            if content is None:
                yield _Span(number, opens, closes, stop)
                return
            if content.grammar.accepts(text[begins:closes]):
                yield _Span(number, opens, closes, stop)
            closes = text.find(tag.end, closes + 1)


class _Span(NamedTuple):
    """A region of tag number `tag`: its markers stand at `opens` and `closes`."""

    tag: int
    opens: int
    closes: int
    stop: int


def checked_tags(given: Sequence[Tag] | Tags) -> Tags:
    """`given` as a Tags. Raises ParameterError for markers that do not tell the regions apart."""
    tags = given.tags if isinstance(given, Tags) else given
    if isinstance(tags, str) or not isinstance(tags, Sequence) or not tags:
        raise ParameterError("tags", f"expected a list of one or more Tag, got {tags!r:.80}")
    _check_flags(given)
    begins: list[str] = []
    for number, tag in enumerate(tags):
        if not isinstance(tag, Tag):
            raise ParameterError("tags", f"[{number}] is {tag!r:.80}, expected a Tag")
        for side, marker in (("begin", tag.begin), ("end", tag.end)):
            if not isinstance(marker, str) or not marker:
                raise ParameterError(
                    "tags", f"[{number}].{side} is {marker!r:.80}, expected a text, not empty"
                )
            if any(SURROGATES[0] <= ord(char) <= SURROGATES[1] for char in marker):
                raise ParameterError("tags", f"[{number}].{side} holds half of a surrogate pair")
        for earlier, begin in enumerate(begins):
            if begin in tag.begin or tag.begin in begin:
                raise ParameterError(
                    "tags",
                    f"[{number}] begins with {tag.begin!r} and [{earlier}] with {begin!r}: one is "
                    "in the other, so it could not be told which region opens",
                )
        begins.append(tag.begin)
        if len(tag.end) > MAX_CHARACTERS or sum(map(len, begins)) > MAX_CHARACTERS:
            raise ParameterError(
                "tags",
                f"[{number}]: the markers have more than {MAX_CHARACTERS:,} characters",
            )
    return given if isinstance(given, Tags) else Tags(given)


def _check_flags(given: Sequence[Tag] | Tags) -> None:
    if not isinstance(given, Tags):
        return
    for name in ("at_least_one", "stop_after_first"):
        if not isinstance(getattr(given, name), bool):
            raise ParameterError(name, f"expected True or False, got {getattr(given, name)!r:.80}")


def _marker(text: str) -> Node:
    return ControlToken(text, optional=True)


def renamed(rules: Rules, prefix: str) -> Rules:
    """The same grammar with `prefix` before every rule's name."""

    def visit(node: Node, below: list[Node]) -> Node:
        return Ref(prefix + node.name) if isinstance(node, Ref) else with_children(node, below)

    bodies = {prefix + name: fold(body, visit) for name, body in rules.rules.items()}
    return Rules(prefix + rules.root, bodies)
