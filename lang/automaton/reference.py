"""The plain, obviously right matcher that the automaton is tested against.

It reads the IR as its definition: the set of points where a node that starts here can end. It is
slow, works on code points, and shares no code with `network.py`, `automaton.py` or `ir/check.py`.
Tests may use it as their truth. Left-recursive rules would not terminate; a `Grammar` has none.

Whether a text can be completed is the same question asked of the text with anything after it: all
points beyond its end are one point, which whatever can match at all leads to.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from ..ir.dfa import Dfa
from ..ir.measured import Measured
from ..ir.needs import without_needs
from ..ir.nodes import (
    Alt,
    CharClass,
    ControlToken,
    Element,
    Literal,
    Members,
    Node,
    Ref,
    Repeat,
    Rules,
    Seq,
    Substring,
    Terminal,
    Unique,
)
from ..ir.walk import walk
from .reference_json import JsonValue, can_all_differ, json_value
from .reference_texts import dfa_texts, measured_dfa, passages

SPELLED = 64
"""Completions of one element that are looked at; see `matches_prefix`."""

_MANY_VALUES = 16
_MANY_STATES = 2000


def matches(rules: Rules, text: str) -> bool:
    """Whether `text` is in the language of `rules`."""
    ends = _Matcher(rules, text).ends(Unique(Ref(rules.root)), _Point(0))
    return any(point.at == len(text) for point in ends)


def matches_prefix(rules: Rules, text: str) -> bool:
    """Whether some text of the language begins with `text`.

    Exact, with one limit: of an `Element` that `text` leaves unfinished, SPELLED completions are
    looked at, the shortest first. If there are more, their values count as all that it can have
    where they are few, and as enough to differ from any others where they are many.
    """
    ends = _Matcher(rules, text, is_open=True).ends(Unique(Ref(rules.root)), _Point(0))
    return any(point.at >= len(text) for point in ends)


class _Point(NamedTuple):
    """Where a match stands.

    `at`: the place in the text; its length plus 1 is beyond it. `tail`: what was written beyond,
    if that is asked for. `seen`: the values of the elements of the innermost `Unique` that lie in
    the text; `owed`: for each later one that has few values, which it can have.
    """

    at: int
    tail: str = ""
    seen: frozenset[JsonValue] = frozenset()
    owed: tuple[frozenset[JsonValue], ...] = ()


class _Matcher:
    """Matches `text`; `is_open`: with anything after it; `spells`: and notes what, up to a limit.

    `cut`: the limit was met.
    """

    def __init__(
        self, rules: Rules, text: str, is_open: bool = False, spells: bool = False
    ) -> None:
        self._grammar = rules
        self._rules = rules.rules
        self._text = text
        self._is_open = is_open
        self._spells = spells
        self.cut = False
        self._inside: frozenset[str] = frozenset()  # rules being matched beyond the text
        self._ends: dict[tuple[Node, _Point, frozenset[str]], frozenset[_Point]] = {}
        self._finite: set[str] = set()
        while grown := {
            name
            for name, body in self._rules.items()
            if name not in self._finite and self._can_match(body)
        }:
            self._finite |= grown
        self._unique: set[str] = set()
        while grown := {
            name
            for name, body in self._rules.items()
            if name not in self._unique and self._must_differ(body)
        }:
            self._unique |= grown

    def ends(self, node: Node, start: _Point) -> frozenset[_Point]:
        """Every point where a match of `node` from `start` can end."""
        if (start.seen or start.owed) and not self._must_differ(node):
            found = self.ends(node, start._replace(seen=frozenset(), owed=()))
            return frozenset(p._replace(seen=start.seen, owed=start.owed) for p in found)
        if start.at > len(self._text) and not self._spells and not self._must_differ(node):
            return frozenset({start} if self._can_match(node) else ())
        key = (node, start, self._inside)
        if key not in self._ends:
            self._ends[key] = frozenset(self._limited(self._compute_ends(node, start)))
        return self._ends[key]

    def _limited(self, points: set[_Point]) -> Iterable[_Point]:
        written = [point for point in points if point.tail]
        if len(written) <= SPELLED:
            return points
        self.cut = True
        written.sort(key=lambda point: (len(point.tail), point.tail))
        return {point for point in points if not point.tail} | set(written[:SPELLED])

    def _compute_ends(self, node: Node, start: _Point) -> set[_Point]:
        match node:
            case Literal(text):
                return self._texts([text], start)
            case CharClass(ranges):
                if start.at < len(self._text):
                    return (
                        {start._replace(at=start.at + 1)}
                        if self._inside_ranges(ranges, start.at)
                        else set()
                    )
                return self._beyond(start, (chr(c) for a, b in ranges for c in range(a, b + 1)))
            case Seq(items):
                points = {start}
                for item in items:
                    points = {end for point in points for end in self.ends(item, point)}
                return points
            case Alt(options):
                return {end for option in options for end in self.ends(option, start)}
            case Repeat():
                return self._repeat(node, start)
            case Ref(name):
                return self._reference(name, start)
            case Dfa():
                return self._dfa(node, start)
            case Measured():
                return self._dfa(measured_dfa(node), start)
            case Terminal(inner, excluded):
                return self._terminal(inner, excluded, start)
            case ControlToken(text):
                return self._texts((text,), start)
            case Substring(text, words):
                return self._texts(passages(text, words), start)
            case Members() if node.needs:
                return {end for option in without_needs(node) for end in self.ends(option, start)}
            case Members():
                return self._members(node, start)
            case Unique(body):
                ends = self.ends(body, start._replace(seen=frozenset(), owed=()))
                return {
                    end._replace(seen=start.seen, owed=start.owed)
                    for end in ends
                    if can_all_differ(end.owed)
                }
            case Element(inner):
                return self._element(inner, start)

    def _texts(self, texts: Iterable[str], start: _Point) -> set[_Point]:
        """The ends of any of `texts` from `start`."""
        rest = self._text[start.at :]
        found: set[_Point] = set()
        longer: list[str] = []
        for text in texts:
            if start.at <= len(self._text) and rest.startswith(text):
                found.add(start._replace(at=start.at + len(text)))
            elif text.startswith(rest):
                longer.append(text[len(rest) :])
        return found | self._beyond(start, longer)

    def _beyond(self, start: _Point, texts: Iterable[str]) -> set[_Point]:
        """The points after writing any of `texts` beyond the end of the text."""
        if not self._is_open:
            return set()
        wanted = SPELLED + 1 if self._spells else 1
        written = [start.tail + text for text in islice(texts, wanted)]
        if not self._spells:
            return {start._replace(at=len(self._text) + 1)} if written else set()
        self.cut |= len(written) > SPELLED
        return {start._replace(at=len(self._text) + 1, tail=text) for text in written}

    def _inside_ranges(self, ranges: tuple[tuple[int, int], ...], at: int) -> bool:
        return any(low <= ord(self._text[at]) <= high for low, high in ranges)

    def _repeat(self, node: Repeat, start: _Point) -> set[_Point]:
        found: set[_Point] = set()
        reached = {start}  # by `count` iterations
        count = 0
        while True:
            if count >= node.min:
                if reached <= found:
                    return found  # the same points with fewer iterations behind them
                found |= reached
                # Beyond the text more iterations than needed make nothing easier
                enough = node.min + 2 if self._spells else node.min
                onward = {p for p in reached if p.at <= len(self._text) or count < enough}
                self.cut |= onward != reached and node.max != count
                reached = onward
            if count == node.max:
                return found
            after = {end for point in reached for end in self.ends(node.item, point)}
            if after == reached:
                return found | after  # so does every further iteration
            reached = after
            count += 1
            if not reached:
                return found

    def _reference(self, name: str, start: _Point) -> set[_Point]:
        if start.at <= len(self._text):
            return set(self.ends(self._rules[name], start))
        if name in self._inside:
            self.cut = True  # of a text with a rule inside itself, a part without it is a text too
            return set()
        outside = self._inside
        self._inside = outside | {name}
        found = set(self.ends(self._rules[name], start))
        self._inside = outside
        return found

    def _dfa(self, dfa: Dfa, start: _Point) -> set[_Point]:
        found: set[_Point] = set()
        state, at = 0, start.at
        while True:
            if state in dfa.accepting:
                found.add(start._replace(at=at))
            if at >= len(self._text):
                return found | self._beyond(start, dfa_texts(dfa, state, SPELLED + 1))
            code = ord(self._text[at])
            following = [to for low, high, to in dfa.edges[state] if low <= code <= high]
            if not following:
                return found
            [state] = following
            at += 1

    def _terminal(self, node: Node, excluded: frozenset[str], start: _Point) -> set[_Point]:
        rest = self._text[start.at :]
        inside = {
            end
            for end in self.ends(node, start)
            if end.at <= len(self._text) and self._between(start, end) not in excluded
        }
        beyond = {end for end in self.ends(node, start) if end.at > len(self._text)}
        if self._spells:
            return inside | {e for e in beyond if self._between(start, e) not in excluded}
        if beyond and any(text.startswith(rest) for text in excluded):
            speller = _Matcher(self._grammar, self._text, is_open=True, spells=True)
            return inside | self._beyond(
                start, (end.tail for end in speller.ends(Terminal(node, excluded), start))
            )
        return inside | beyond

    def _between(self, start: _Point, end: _Point) -> str:
        return self._text[start.at : end.at] + end.tail[len(start.tail) :]

    def _members(self, node: Members, start: _Point) -> set[_Point]:
        found: set[_Point] = set()
        most = max(node.min, node.max or 1, 1)  # to count further would make no difference
        todo: list[tuple[_Point, frozenset[int], int]] = [(start, frozenset(), 0)]
        done = set(todo)
        for point, used, count in todo:  # grows while it is walked
            is_beyond = point.at > len(self._text)
            required = any(m.required and i not in used for i, m in enumerate(node.members))
            if not required and node.min <= count:
                found.add(point)
                if is_beyond and not self._spells:
                    continue  # more members than needed make nothing easier
            if count == node.max or (is_beyond and count > node.min + len(node.members)):
                self.cut = True
                continue
            for member, used_after in self._following(node, used, is_beyond):
                item = Seq((node.separator, member)) if count else member
                ends = self.ends(item, point)
                new = {(end, used_after, min(count + 1, most)) for end in ends} - done
                if len(done) + len(new) > _MANY_STATES and is_beyond:
                    self.cut = True
                    break
                done |= new
                todo += new
                if is_beyond and not self._spells and ends:
                    break  # one way to go on is as good as another
        return found

    def _following(
        self, node: Members, used: frozenset[int], is_beyond: bool
    ) -> Iterable[tuple[Node, frozenset[int]]]:
        """Each member that can come next, and which declared ones cannot come after it."""
        required_left = False
        in_order = node.ordered and not is_beyond  # what lies beyond the text has any order
        members = list(enumerate(node.members))
        if is_beyond:
            members.sort(key=lambda member: not member[1].required)
        for index, member in members:
            if index in used:
                continue
            after = frozenset(range(index)) if in_order else frozenset()
            whole = Seq((Literal(member.key), member.rest))
            yield whole, used | after | {index}
            required_left |= member.required
            if required_left and (in_order or is_beyond):
                return
        if node.extra is not None and not (required_left and node.ordered):
            everything = frozenset(range(len(node.members)))
            yield node.extra, everything if node.ordered else used

    def _element(self, node: Node, start: _Point) -> set[_Point]:
        found: set[_Point] = set()
        for end in self.ends(node, start):
            if end.at <= len(self._text) or self._spells:
                value = json_value(self._between(start, end))
                if value not in end.seen:
                    found.add(end._replace(seen=end.seen | {value}))
            else:
                values = self._values_beyond(node, start)
                if values is None:
                    found.add(end)
                elif values - end.seen:
                    found.add(end._replace(owed=(*end.owed, values - end.seen)))
        return found

    def _values_beyond(self, node: Node, start: _Point) -> frozenset[JsonValue] | None:
        """The values of the texts of `node` that go beyond the text; None if they are many."""
        speller = _Matcher(self._grammar, self._text, is_open=True, spells=True)
        texts = [
            self._between(start, end)
            for end in speller.ends(node, _Point(start.at))
            if end.at > len(self._text)
        ]
        values = frozenset(map(json_value, texts))
        return None if speller.cut and len(values) > _MANY_VALUES else values

    def _can_match(self, node: Node) -> bool:
        """Whether `node` matches any text at all (of the rules, those in `_finite` do).

        It takes elements for different from each other.
        """
        match node:
            case Literal():
                return True
            case CharClass(ranges):
                return bool(ranges)
            case Seq(items):
                return all(self._can_match(item) for item in items)
            case Alt(options):
                return any(self._can_match(option) for option in options)
            case Repeat(item, low, _):
                return low == 0 or self._can_match(item)
            case Ref(name):
                return name in self._finite
            case Dfa():
                return not node.is_empty()
            case Measured():
                return not measured_dfa(node).is_empty()
            case ControlToken():
                return True
            case Substring(text, words):
                return any(passages(text, words))
            case Members() if node.needs:
                return any(map(self._can_match, without_needs(node)))
            case Members(members, extra, separator, low, high):
                required = sum(member.required for member in members)
                usable = sum(self._can_match(member.rest) for member in members)
                has_extra = extra is not None and self._can_match(extra)
                needed = max(low, required)
                return (
                    all(self._can_match(m.rest) for m in members if m.required)
                    and (high is None or needed <= high)
                    and (has_extra or needed <= usable)
                    and (needed < 2 or self._can_match(separator))
                )
            case Terminal(inner) | Unique(inner) | Element(inner):
                return self._can_match(inner)

    def _must_differ(self, node: Node) -> bool:
        """Whether elements that must differ are in `node` (of the rules, in those in `_unique`)."""
        return any(
            isinstance(inner, Unique | Element)
            or (isinstance(inner, Ref) and inner.name in self._unique)
            for inner, _ in walk(node)
        )
