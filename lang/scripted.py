"""A backend without a model: it answers from a script. For testing programs.

    backend = tg.ScriptedBackend({"Capital of France?": "Paris"})
    state = quiz.run(question="Capital of France?", model=backend)
    backend.requests[0].prompt

With `held=True` a request waits until the test releases it, so that a test decides the order of
events and needs no clock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .base import (
    ChoiceScore,
    FinishReason,
    Generated,
    GenRequest,
    GenResult,
    Handle,
    Message,
    Prompt,
    Request,
    Result,
    SelectResult,
    Span,
    Text,
    Usage,
)
from .conversation import text_of
from .errors import CancelledError, EngineError


@dataclass(frozen=True, slots=True)
class Answer:
    """A scripted answer with more than its text."""

    text: str
    finish_reason: FinishReason = "stop"
    stop_matched: str | None = None


Reply: TypeAlias = str | Answer | BaseException
Script: TypeAlias = Callable[[Request], Reply] | Mapping[str, Reply] | Sequence[Reply] | str


class ScriptedBackend:
    """Answers requests from a script; see the module's docstring.

    Attributes:
        requests: every request so far, in order.
        chunk_chars: texts are streamed in pieces of this many characters.
    """

    def __init__(self, answers: Script, *, held: bool = False, chunk_chars: int = 4) -> None:
        """Args:
        answers: one text for every request; a list, taken in order; a mapping, of which the
            longest key that occurs in the prompt (the latest occurrence wins) gives the answer;
            or a function of the request. An exception as an answer makes the request fail. A
            `select` must be answered with one of its choices.
        held: requests wait for `release()`.
        """
        self.requests: list[Request] = []
        self.chunk_chars = chunk_chars
        self._answers = answers
        self._n_taken = 0
        self._held = held
        self._waiting: list[ScriptedHandle] = []
        self._changed = threading.Condition()

    def submit(
        self, request: Request, on_text: Callable[[str], None] | None = None
    ) -> ScriptedHandle:
        """Starts a request: done on return unless the backend holds its requests."""
        handle = ScriptedHandle(self, request, on_text)
        with self._changed:
            self.requests.append(request)
            held = self._held
            if held:
                self._waiting.append(handle)
            self._changed.notify_all()
        if not held:
            self._answer(handle)
        return handle

    def render_chat(self, messages: Sequence[Message], add_generation_prompt: bool) -> Prompt:
        """A plain ChatML rendering."""
        spans: list[Span] = []
        for message in messages:
            spans.append(Text(f"<|im_start|>{message.role}\n", template=True))
            spans.extend(message.content)
            spans.append(Text("<|im_end|>\n", template=True))
        if add_generation_prompt:
            spans.append(Text("<|im_start|>assistant\n", template=True))
        return tuple(spans)

    def release(self, n: int = 1) -> None:
        """Answers the `n` requests that have waited longest, in the calling thread."""
        for _ in range(n):
            with self._changed:
                if not self._waiting:
                    raise EngineError("ScriptedBackend.release(): no request is waiting")
                handle = self._waiting.pop(0)
            self._answer(handle)

    def release_all(self) -> None:
        """Answers what is waiting, and from now on every request at once."""
        with self._changed:
            self._held = False
            waiting, self._waiting = self._waiting, []
        for handle in waiting:
            self._answer(handle)

    def wait_for(self, n: int, timeout_s: float = 10.0) -> list[Request]:
        """Waits until `n` requests are held, and gives them. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._waiting) >= n, timeout_s):
                raise TimeoutError(
                    f"{len(self._waiting)} of {n} requests were waiting after {timeout_s} s"
                )
            return [handle.request for handle in self._waiting]

    def _cancel(self, handle: ScriptedHandle) -> None:
        with self._changed:
            if handle not in self._waiting:
                return
            self._waiting.remove(handle)
        handle.finish(None, CancelledError("the request was cancelled"))

    def _answer(self, handle: ScriptedHandle) -> None:
        try:
            reply = self._reply(handle.request)
            if isinstance(reply, BaseException):
                raise reply
            answer = Answer(reply) if isinstance(reply, str) else reply
            result = _result(handle.request, answer)
        except BaseException as exc:
            handle.finish(None, exc)
            return
        if handle.on_text is not None:
            for start in range(0, len(answer.text), self.chunk_chars):
                handle.on_text(answer.text[start : start + self.chunk_chars])
        handle.finish(result, None)

    def _reply(self, request: Request) -> Reply:
        answers = self._answers
        if isinstance(answers, str):
            return answers
        if isinstance(answers, Mapping):
            prompt = text_of(request.prompt)
            found = [(prompt.rfind(key), len(key), key) for key in answers if key in prompt]
            if not found:
                raise EngineError(f"no scripted answer for a prompt that ends {prompt[-80:]!r}")
            return answers[max(found)[2]]
        if callable(answers):
            return answers(request)
        with self._changed:
            index = self._n_taken
            self._n_taken += 1
        if index >= len(answers):
            raise EngineError(
                f"the script has {len(answers)} answers, request {index + 1} has none"
            )
        return answers[index]


class ScriptedHandle:
    """A request to a ScriptedBackend."""

    def __init__(
        self, backend: ScriptedBackend, request: Request, on_text: Callable[[str], None] | None
    ) -> None:
        self.request = request
        self.on_text = on_text
        self._backend = backend
        self._done = threading.Condition()
        self._is_done = False
        self._result: Result | None = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Handle], None]] = []

    def result(self, timeout: float | None = None) -> Result:
        """The result; raises the request's error, or TimeoutError."""
        with self._done:
            if not self._done.wait_for(lambda: self._is_done, timeout):
                raise TimeoutError("the request has not been answered")
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def add_done_callback(self, callback: Callable[[Handle], None]) -> None:
        """Calls `callback(self)` when the request is done, at once if it is."""
        with self._done:
            if not self._is_done:
                self._callbacks.append(callback)
                return
        callback(self)

    def cancel(self) -> None:
        """Ends a held request with CancelledError."""
        self._backend._cancel(self)

    def finish(self, result: Result | None, error: BaseException | None) -> None:
        """Settles the request and runs its callbacks."""
        with self._done:
            self._result, self._error, self._is_done = result, error, True
            callbacks, self._callbacks = self._callbacks, []
            self._done.notify_all()
        for callback in callbacks:
            callback(self)


def _result(request: Request, answer: Answer) -> Result:
    tokens = tuple(answer.text.encode())
    usage = Usage(len(text_of(request.prompt).encode()), 0, len(tokens))
    spans = (Generated(answer.text, tokens),)
    if isinstance(request, GenRequest):
        return GenResult(
            answer.text, spans, answer.finish_reason, usage, stop_matched=answer.stop_matched
        )
    if answer.text not in request.choices:
        raise EngineError(f"scripted answer {answer.text!r} is none of {request.choices!r}")
    index = request.choices.index(answer.text)
    scores = tuple(
        ChoiceScore(choice, 0.0 if i == index else -1.0, ())
        for i, choice in enumerate(request.choices)
    )
    return SelectResult(answer.text, spans, index, scores, usage)
