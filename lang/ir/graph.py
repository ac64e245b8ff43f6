"""The IR as numbered nodes, and what each of them can match: the first half of lowering.

Finding which nodes match the empty text, and which a longer one, is a least fixed point over rules
that refer to each other in any order. Facts are propagated from the leaves up, each once (as in
Horn satisfiability, Dowling and Gallier 1984), so the time is linear and nothing recurses.
"""

from __future__ import annotations

from dataclasses import replace

from ..automaton.word_list import words_of
from ..errors import GrammarError
from ..regular.utf8 import ByteRange, byte_sequences
from .dfa import Dfa
from .facts import can_hold
from .measured import Measured
from .nodes import (
    Alt,
    CharClass,
    ControlToken,
    Element,
    Literal,
    Member,
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
from .walk import children as children_of

ALL_BYTES = frozenset(range(256))


class IrGraph:
    """The nodes that the root reaches, without texts that hold a byte outside `alphabet`.

    Attributes:
        nodes: the nodes; `children[i]` are the numbers of node i's own nodes.
        roots: per rule name, the number of its top node.
        nullable: whether the node matches the empty text.
        has_text: whether it matches a text that is not empty.
        size: about how many automaton states it takes, calls counted as one.

    Raises GrammarError for a `Ref` to a rule that does not exist, and a literal with a surrogate.
    """

    def __init__(self, rules: Rules, alphabet: frozenset[int] = ALL_BYTES) -> None:
        self._alphabet = alphabet
        self._classes: dict[tuple[tuple[int, int], ...], bool] = {}
        self.nodes: list[Node] = []
        self.children: list[tuple[int, ...]] = []
        self.roots: dict[str, int] = {}
        self._users: list[list[int]] = []
        self._members: dict[int, Member] = {}
        self._required: dict[int, int] = {}
        self._number(rules)
        count = len(self.nodes)
        self.nullable = [False] * count
        self.has_text = [False] * count
        self._find_texts()
        self.size = [1] * count
        self._measure()

    def productive(self, node: int) -> bool:
        """Whether the node matches any text at all."""
        return self.nullable[node] or self.has_text[node]

    def spelled(self, byte_range: ByteRange) -> list[ByteRange]:
        """The parts of a byte range that the alphabet has."""
        if len(self._alphabet) == len(ALL_BYTES):
            return [byte_range]
        parts: list[ByteRange] = []
        for byte in range(byte_range[0], byte_range[1] + 1):
            if byte in self._alphabet:
                if parts and parts[-1][1] == byte - 1:
                    parts[-1] = (parts[-1][0], byte)
                else:
                    parts.append((byte, byte))
        return parts

    def _number(self, rules: Rules) -> None:
        """Numbers the reachable nodes, parents before children, and notes who uses whom."""
        names = [rules.root]
        references: list[tuple[int, str]] = []
        while names:
            name = names.pop()
            if name in self.roots:
                continue
            if name not in rules.rules:
                raise GrammarError(f"rule {name!r} is used and not defined")
            self.roots[name] = len(self.nodes)
            pending = [self._add(rules.rules[name])]
            while pending:
                parent = pending.pop()
                node = self.nodes[parent]
                if isinstance(node, Ref):
                    names.append(node.name)
                    references.append((parent, node.name))
                    continue
                if isinstance(node, Terminal) and words_of(node.node) is not None:
                    continue
                numbers = tuple(self._add(item) for item in children_of(node))
                self.children[parent] = numbers
                if isinstance(node, Members):
                    self._members.update(zip(numbers, node.members, strict=False))
                    self._required[parent] = sum(member.required for member in node.members)
                for number in numbers:
                    self._users[number].append(parent)
                pending += numbers
        for user, target in references:
            self._users[self.roots[target]].append(user)

    def _add(self, node: Node) -> int:
        self.nodes.append(node)
        self.children.append(())
        self._users.append([])
        return len(self.nodes) - 1

    def _find_texts(self) -> None:
        """Fills `nullable` and `has_text`."""
        nullable, has_text = self.nullable, self.has_text
        # items of a sequence that are not yet known to be nullable, or to match anything
        not_nullable = [len(children) for children in self.children]
        unproductive = not_nullable.copy()
        with_text = [False] * len(self.nodes)
        possible: dict[int, int] = {}
        required_found: dict[int, int] = {}
        counted = [False] * len(self.nodes)  # nodes that were subtracted from `unproductive`
        facts: list[tuple[int, bool]] = []  # (node, True: matches the empty text / False: a longer)

        def learn(node: int, empty: bool) -> None:
            known = nullable if empty else has_text
            if not known[node]:
                known[node] = True
                facts.append((node, empty))

        for i, node in enumerate(self.nodes):
            match node:
                case Literal(text):
                    if not text:
                        learn(i, True)
                    elif self._alphabet.issuperset(encode(text)):
                        learn(i, False)
                case CharClass(ranges):
                    if self._has_class(ranges):
                        learn(i, False)
                case Seq(()):
                    learn(i, True)
                case Repeat(_, 0, _):
                    learn(i, True)
                case Dfa():
                    if 0 in node.accepting:
                        learn(i, True)
                    if self._has_edge(node):
                        learn(i, False)
                case Measured():
                    if node.holds_empty():
                        learn(i, True)
                    if self._has_measured(node):
                        learn(i, False)
                case Terminal(node) if not self.children[i]:
                    if any(self._alphabet.issuperset(encode(w)) for w in words_of(node) or ()):
                        learn(i, False)
                case ControlToken():
                    learn(i, False)
                case Substring(text):
                    if any(self._alphabet.issuperset(encode(char)) for char in text):
                        learn(i, False)
                case Members() if node.min == 0 and not any(m.required for m in node.members):
                    learn(i, True)
        while facts:
            child, empty = facts.pop()
            is_new, counted[child] = not counted[child], True
            for user in self._users[child]:
                match self.nodes[user]:
                    case Seq():
                        if empty:
                            not_nullable[user] -= 1
                            if not not_nullable[user]:
                                learn(user, True)
                        else:
                            with_text[user] = True
                        if is_new:
                            unproductive[user] -= 1
                        if with_text[user] and not unproductive[user]:
                            learn(user, False)
                    case Repeat(_, _, high):
                        if empty or high != 0:
                            learn(user, empty)
                    case Members() as members:
                        member = self._members.get(child)
                        if member is not None and is_new and self._is_spelled(member):
                            possible[user] = possible.get(user, 0) + 1
                            required_found[user] = required_found.get(user, 0) + member.required
                        if self._has_members(
                            user, members, possible.get(user, 0), required_found.get(user, 0)
                        ):
                            learn(user, False)
                    case _:
                        learn(user, empty)

    def _is_spelled(self, member: Member) -> bool:
        return self._alphabet.issuperset(encode(member.key))

    def _has_members(self, number: int, node: Members, possible: int, found: int) -> bool:
        """Whether the facts so far are enough for an object with at least one member.

        `possible` declared members are known to have a text, and `found` of those are required.
        """
        rests = self.children[number]
        required = self._required[number]
        return found == required and can_hold(
            node,
            max(node.min, required, 1),
            possible,
            extra=node.extra is not None and self.has_text[rests[-1]],
            separator=self.productive(rests[len(node.members)]),
        )

    def live(self, dfa: Dfa) -> frozenset[int]:
        """States from which an accepting one can be reached in this alphabet."""
        return self._spelled_dfa(dfa).live()

    def spelled_measured(self, node: Measured) -> Measured:
        """The texts of the node that can be written in this alphabet."""
        return replace(node, dfa=self._spelled_dfa(node.dfa))

    def _spelled_dfa(self, dfa: Dfa) -> Dfa:
        if len(self._alphabet) == len(ALL_BYTES):
            return dfa
        kept = tuple(
            tuple(edge for edge in edges if self._has_character(edge[0], edge[1]))
            for edges in dfa.edges
        )
        return Dfa(kept, dfa.accepting)

    def _has_measured(self, node: Measured) -> bool:
        spelled = self.spelled_measured(node)
        remainders = spelled.remainders()
        return any(
            spelled.fits(remainders, to, spelled.counted(0, to)) for *_, to in spelled.dfa.edges[0]
        )

    def _has_edge(self, dfa: Dfa) -> bool:
        live = self.live(dfa)
        return any(to in live and self._has_character(low, high) for low, high, to in dfa.edges[0])

    def _has_class(self, ranges: tuple[tuple[int, int], ...]) -> bool:
        found = self._classes.get(ranges)
        if found is None:
            found = any(self._has_character(first, last) for first, last in ranges)
            self._classes[ranges] = found
        return found

    def _has_character(self, first: int, last: int) -> bool:
        return any(
            all(self.spelled(part) for part in sequence) for sequence in byte_sequences(first, last)
        )

    def _measure(self) -> None:
        for i in reversed(range(len(self.nodes))):
            node = self.nodes[i]
            match node:
                case Literal(text):
                    self.size[i] = len(text)
                case Repeat(_, low, high):
                    self.size[i] = max(low, high or 1) * self.size[self.children[i][0]]
                case Dfa():
                    self.size[i] = len(node.edges)
                case Measured():
                    self.size[i] = len(node.dfa.edges)
                case Seq() | Alt() | Unique() | Element() | Members() | Terminal():
                    self.size[i] = sum(self.size[child] for child in self.children[i])


def encode(text: str) -> bytes:
    """UTF-8. Raises GrammarError for a surrogate."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise GrammarError(
            f"literal {text!r} holds a surrogate, which UTF-8 cannot encode"
        ) from error
