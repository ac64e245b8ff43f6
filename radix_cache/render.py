"""The tree as text, for people."""

from __future__ import annotations

from .tree import Node, RadixTree


def render(tree: RadixTree, max_tokens: int = 8) -> str:
    """A line per node, indented by depth: range, tier, locks and the first `max_tokens` tokens.

    namespace ''
      [0, 12) live in 3, 1 lock: 1 2 3 4 5 6 7 8 ...
        [12, 15) parked: 4 7 7
    """
    lines: list[str] = []
    for namespace in tree.namespaces:
        lines.append(f"namespace {namespace!r}")
        pending = [(node, 1) for node in reversed(tree.root(namespace).children.values())]
        while pending:
            node, depth = pending.pop()
            lines.append("  " * depth + _line(node, max_tokens))
            pending.extend((child, depth + 1) for child in reversed(node.children.values()))
    return "\n".join(lines)


def _line(node: Node, max_tokens: int) -> str:
    state = (
        f"live in {node.seq}"
        if node.seq >= 0
        else "parked"
        if node.blob
        else "stored"
        if node.file
        else "known"
    )
    if node.lock_count:
        state += f", {node.lock_count} lock" + "s" * (node.lock_count > 1)
    tokens = " ".join(str(token) for token in node.tokens[:max_tokens])
    more = " ..." if len(node) > max_tokens else ""
    return f"[{node.start}, {node.stop}) {state}: {tokens}{more}"
