"""The plain, obviously right matcher that the automaton is tested against.

It reads the IR as its definition: the set of places where a node that starts here can end. It is
slow, works on code points, and shares no code with `network.py`, `automaton.py` or `ir_check.py`.
Tests may use it as their truth. Left-recursive rules would not terminate; a `Grammar` has none.
"""

from __future__ import annotations

from .ir import Alt, CharClass, Literal, Node, Ref, Repeat, Rules, Seq


def matches(rules: Rules, text: str) -> bool:
    """Whether `text` is in the language of `rules`."""
    return len(text) in _Matcher(rules, text).ends(Ref(rules.root), 0)


def matches_prefix(rules: Rules, text: str) -> bool:
    """Whether some text of the language begins with `text`."""
    return _Matcher(rules, text).begins(Ref(rules.root), 0)


class _Matcher:
    def __init__(self, rules: Rules, text: str) -> None:
        self._rules = rules.rules
        self._text = text
        self._ends: dict[tuple[Node, int], frozenset[int]] = {}
        self._finite: set[str] = set()
        while grown := {
            name
            for name, body in self._rules.items()
            if name not in self._finite and self._can_match(body)
        }:
            self._finite |= grown

    def ends(self, node: Node, start: int) -> frozenset[int]:
        """Every place where a match of `node` from `start` can end."""
        key = (node, start)
        if key not in self._ends:
            self._ends[key] = frozenset(self._compute_ends(node, start))
        return self._ends[key]

    def _compute_ends(self, node: Node, start: int) -> set[int]:
        match node:
            case Literal(text):
                return {start + len(text)} if self._text.startswith(text, start) else set()
            case CharClass(ranges):
                inside = start < len(self._text) and _contains(ranges, self._text[start])
                return {start + 1} if inside else set()
            case Seq(items):
                places = {start}
                for item in items:
                    places = {end for place in places for end in self.ends(item, place)}
                return places
            case Alt(options):
                return {end for option in options for end in self.ends(option, start)}
            case Repeat():
                found: set[int] = set()
                for count, places in enumerate(self._iterations(node, start)):
                    if count >= node.min:
                        found |= places
                return found
            case Ref(name):
                return set(self.ends(self._rules[name], start))

    def _iterations(self, node: Repeat, start: int) -> list[set[int]]:
        """Where the 0th, 1st, 2nd ... iteration can have ended, as long as that adds anything."""
        rounds = [{start}]
        seen: set[int] = set()
        while node.max is None or len(rounds) <= node.max:
            if len(rounds) > node.min:
                if rounds[-1] <= seen:
                    break  # the same places with fewer iterations behind them: nothing is new
                seen |= rounds[-1]
            after = {end for place in rounds[-1] for end in self.ends(node.item, place)}
            if not after:
                break
            rounds.append(after)
        return rounds

    def begins(self, node: Node, start: int) -> bool:
        """Whether the text from `start` on is the beginning of some match of `node`."""
        if not self._can_match(node):
            return False
        if start == len(self._text) or len(self._text) in self.ends(node, start):
            return True
        rest = self._text[start:]
        match node:
            case Literal(text):
                return text.startswith(rest)
            case CharClass(ranges):
                return len(rest) == 1 and _contains(ranges, rest)
            case Seq(items):
                places = frozenset({start})
                for item in items:
                    if any(self.begins(item, place) for place in places):
                        return True
                    places = frozenset(e for place in places for e in self.ends(item, place))
                return False
            case Alt(options):
                return any(self.begins(option, start) for option in options)
            case Repeat(item, _, high):
                rounds = self._iterations(node, start)
                if high is not None:
                    rounds = rounds[:high]  # after the last iteration no other begins
                return any(self.begins(item, place) for places in rounds for place in places)
            case Ref(name):
                return self.begins(self._rules[name], start)

    def _can_match(self, node: Node) -> bool:
        """Whether `node` matches any text at all (of the rules, those in `_finite` do)."""
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


def _contains(ranges: tuple[tuple[int, int], ...], char: str) -> bool:
    return any(low <= ord(char) <= high for low, high in ranges)
