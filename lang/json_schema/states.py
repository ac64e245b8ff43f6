"""Rules that count: one per state that the members or items so far lead to."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

from ..ir.nodes import EMPTY, Alt, Node, Ref, Seq
from .build import Build

_State = TypeVar("_State", bound=Hashable)


def counted(
    start: _State,
    following: Callable[[_State], list[tuple[Node, _State]]],
    is_end: Callable[[_State], bool],
    comma: Node,
    hint: str,
    build: Build,
    max_states: int,
) -> list[Node] | None:
    """The sequences from `start`, of one part or more, that end well, as options.

    `following` lists what may come next and the state after it; `comma` goes between the parts.
    None if there are more than `max_states` states.
    """
    edges: dict[_State, list[tuple[Node, _State]]] = {}
    sources: dict[_State, list[_State]] = {}
    todo = [start]
    for state in todo:  # grows while it is walked
        edges[state] = following(state)
        for _, after in edges[state]:
            if after not in sources and after != start:
                if len(todo) >= max_states:
                    return None
                todo.append(after)
            sources.setdefault(after, []).append(state)
    live = {state for state in edges if is_end(state)}
    ready = list(live)
    while ready:
        for state in sources.get(ready.pop(), ()):
            if state not in live:
                live.add(state)
                ready.append(state)
    kept = {
        state: [(node, after) for node, after in edges[state] if after in live] for state in live
    }
    reached = {after for steps in kept.values() for _, after in steps}
    names = {state: build.reserve(hint) for state in todo if state in reached}
    for state, name in names.items():
        rest = [Seq((comma, node, Ref(names[after]))) for node, after in kept[state]]
        build.rules[name] = Alt((EMPTY, *rest) if is_end(state) else tuple(rest))
    for node in {node: None for steps in kept.values() for node, _ in steps}:
        build.need(node)
    return [Seq((node, Ref(names[after]))) for node, after in kept.get(start, [])]
