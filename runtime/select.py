"""Scoring choices: every choice's tokens as one trie, each trie node evaluated once.

The log-probability of a choice is the sum over its tokens given the prompt. A choice's last token
is never evaluated: nobody needs the logits behind it. So four one-token choices cost exactly the
prompt's last token. Paths through the trie become ordinary engine requests, which share their
common part through the radix cache like any other requests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..lang.base import ChoiceScore, SelectRequest
from ..lang.confidence import Decision
from ..lang.errors import TreegramError
from ..radix_cache.tree import as_token_array, common_prefix
from .base import Logits, Tokenizer
from .engine import Engine
from .prompt import TokenPrompt
from .request import EngineRequest
from .sampler import log_softmax_at, softmax


@dataclass(eq=False, slots=True)
class _TrieNode:
    children: dict[int, _TrieNode] = field(default_factory=dict)
    logprobs: dict[int, float] = field(default_factory=dict)
    end_logprob: float = 0.0


class TokenTrie:
    """The choices' tokens as a trie, and their log-probabilities as they become known.

    Args:
        choices: token ids of each choice, none empty.
        ends: end-of-generation tokens; a choice that is the beginning of another competes with it
            through their probability.
    """

    def __init__(self, choices: Sequence[Sequence[int]], ends: Sequence[int]) -> None:
        self._choices = [tuple(c) for c in choices]
        self._ends = list(ends)
        self._root = _TrieNode()
        for choice in self._choices:
            node = self._root
            for token in choice:
                node = node.children.setdefault(token, _TrieNode())

    def paths(self) -> list[tuple[tuple[int, ...], int]]:
        """(tokens, known): what to evaluate behind the prompt so that each inner node is reached.

        Each path ends at a deepest inner node; its first `known` nodes (the prompt's end counts as
        node 0) were on an earlier path, so that only the logits of later ones are still needed.
        """
        found: list[tuple[tuple[int, ...], int]] = []
        stack: list[tuple[_TrieNode, tuple[int, ...]]] = [(self._root, ())]
        while stack:
            node, tokens = stack.pop()
            inner = [(t, child) for t, child in node.children.items() if child.children]
            if not inner:
                known = 0
                if found:
                    known = 1 + common_prefix(as_token_array(found[-1][0]), as_token_array(tokens))
                found.append((tokens, known))
            stack.extend((child, (*tokens, t)) for t, child in reversed(inner))
        return found

    def learn(self, tokens: Sequence[int], logits: Logits) -> None:
        """Takes float32[n_vocab] logits behind the prompt and `tokens`."""
        node = self._root
        for token in tokens:
            node = node.children[token]
        children = list(node.children)
        logprobs = log_softmax_at(logits, [*children, *self._ends])
        node.logprobs = dict(zip(children, logprobs.tolist(), strict=False))
        if self._ends:
            node.end_logprob = float(np.logaddexp.reduce(logprobs[len(children) :]))

    def logprobs(self, index: int) -> tuple[float, ...]:
        """Log-probability of each token of choice `index`."""
        node = self._root
        found: list[float] = []
        for token in self._choices[index]:
            found.append(node.logprobs[token])
            node = node.children[token]
        return tuple(found)

    def probabilities(self) -> list[float]:
        """The chance of each choice when drawing inside the trie; they sum to 1.

        At each node the model's probabilities of what goes on there, and of ending where a choice
        ends, are made to sum to 1.
        """
        ending = set(self._choices)
        found: dict[tuple[int, ...], float] = {}
        work: list[tuple[_TrieNode, tuple[int, ...], float]] = [(self._root, (), 1.0)]
        while work:
            node, tokens, reached = work.pop()
            if not node.children:
                found[tokens] = reached
                continue
            logprobs = list(node.logprobs.values())
            if tokens in ending:
                logprobs.append(node.end_logprob)
            shares = softmax(np.array(logprobs)).tolist()
            if tokens in ending:
                found[tokens] = reached * shares.pop()
            work.extend(
                (node.children[token], (*tokens, token), reached * share)
                for token, share in zip(node.logprobs, shares, strict=True)
            )
        return [found[choice] for choice in self._choices]

    def greedy(self) -> int:
        """The choice that greedy decoding inside the trie ends on."""
        node = self._root
        tokens: tuple[int, ...] = ()
        while node.children:
            token = max(node.logprobs, key=node.logprobs.__getitem__)
            if tokens in self._choices and node.end_logprob > node.logprobs[token]:
                break
            node, tokens = node.children[token], (*tokens, token)
        return self._choices.index(tokens)


class Scoring:
    """Tries being scored, each behind its prompt, as one group of engine requests.

    Args:
        jobs: (prompt, not empty; the trie that receives the log-probabilities).
        on_done: called once, from the engine's thread, when all are known or all have ended after
            the first error.
    """

    def __init__(
        self,
        engine: Engine,
        jobs: Sequence[tuple[TokenPrompt, TokenTrie]],
        on_done: Callable[[BaseException | None], None],
        namespace: str = "",
        adapter: str = "",
        priority: int = 0,
    ) -> None:
        self._engine = engine
        self._on_done = on_done
        self._error: BaseException | None = None
        self.requests = [
            self._request(prompt, trie, path, known, namespace, adapter, priority)
            for prompt, trie in jobs
            for path, known in trie.paths()
        ]
        self._left = len(self.requests)

    def submit(self) -> None:
        """Queues all paths, in the order in which each finds its known part computed.

        Raises what `Engine.submit` raises; then nothing of the group goes on.
        """
        try:
            for request in self.requests:
                self._engine.submit(request)
        except TreegramError:
            self.cancel()
            raise

    def cancel(self) -> None:
        """Asks the engine to drop every path that still runs."""
        for request in self.requests:
            self._engine.cancel(request)

    def _request(
        self,
        prompt: TokenPrompt,
        trie: TokenTrie,
        path: tuple[int, ...],
        known: int,
        namespace: str,
        adapter: str,
        priority: int,
    ) -> EngineRequest:
        def on_logits(n: int, logits: Logits) -> None:
            trie.learn(path[:n], logits)

        return EngineRequest(
            tokens=[*prompt.tokens, *path],
            limit=len(prompt.tokens) - 1 + known,
            on_done=self._one_done,
            on_logits=on_logits,
            namespace=namespace,
            adapter=adapter,
            priority=priority,
            tail=len(path),
            images=prompt.images,
        )

    def _one_done(self, request: EngineRequest, error: BaseException | None) -> None:
        self._left -= 1
        if error is not None and self._error is None:
            self._error = error
            self.cancel()
        if self._left == 0:
            self._on_done(self._error)


def decision(request: SelectRequest, trie: TokenTrie, winner: int) -> Decision:
    """How likely the winner was among the choices, each as a whole, and the best other one.

    By `TokenTrie.probabilities`, whatever the method; so another choice may be the likelier one.
    """
    chances = trie.probabilities()
    others = chances[:winner] + chances[winner + 1 :]
    size = len(request.choices[winner].encode())
    return Decision(0, size, chances[winner], max(others, default=0.0))


def rank(
    request: SelectRequest, tries: Sequence[TokenTrie], *, skip: int
) -> tuple[int, tuple[ChoiceScore, ...]]:
    """The winner's index and every choice's score.

    `length_normalized` scores by mean log-probability per token; `unconditional` by the total minus
    the total without the prompt; `greedy` by the total, but the winner is the one that greedy
    decoding ends on. `temperature` > 0 draws from softmax(score / temperature).

    Args:
        tries: the choices behind the prompt and, for `unconditional`, behind no prompt.
        skip: leading tokens of every choice that only respell the end of the prompt.
    """
    indices = range(len(request.choices))
    logprobs = [tries[0].logprobs(i)[skip:] for i in indices]
    scores = [sum(found) for found in logprobs]
    if request.method == "length_normalized":
        scores = [s / len(found) for s, found in zip(scores, logprobs, strict=True)]
    elif request.method == "unconditional":
        scores = [scores[i] - sum(tries[1].logprobs(i)[skip:]) for i in indices]
    if request.temperature > 0:
        weights = softmax(np.array(scores) / request.temperature)
        winner = int(np.random.default_rng(request.seed).choice(len(scores), p=weights))
    elif request.method == "greedy":
        winner = tries[0].greedy()
    else:
        winner = int(np.argmax(scores))
    found_scores = zip(request.choices, scores, logprobs, strict=True)
    return winner, tuple(ChoiceScore(c, s, lp) for c, s, lp in found_scores)


def respelled_tokens(
    choices: Sequence[Sequence[int]], prompt: TokenPrompt, tokenizer: Tokenizer
) -> int:
    """Leading tokens that all choices share because healing made each respell the prompt's end."""
    size = 0
    for n, tokens in enumerate(zip(*choices, strict=False)):
        size += len(tokenizer.vocabulary.pieces[tokens[0]])
        if len(set(tokens)) > 1 or size > len(prompt.prefix.encode()):
            return n
    return 0
