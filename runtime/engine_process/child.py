"""The engine's own process: one `Model`, asked and answering through the standard streams.

It lives as long as its parent keeps the pipe open: when standard input ends, also because the
parent was killed, the model is closed, which saves what belongs on disk, and the process exits.
Signals that end a whole group of processes are left to the parent.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import IO, NamedTuple

from ...lang.base import Handle, Prompt
from ...lang.compiler.shared_cache import SharedCache
from ...lang.errors import CancelledError
from ...lang.grammar import Grammar
from ..model import Model
from .codec import UnknownGrammar, decode, encode, encode_error, grammar_from
from .frames import Frame, FrameReader, write_frame

GRAMMARS_KEPT = 256
"""Grammars kept, least recently used out first; the parent sends one again if it is asked to."""

MAX_STARTING = 64
"""Requests prepared at once: one whose constraint takes long holds up no other."""


class Facts(NamedTuple):
    """What the parent knows of a model without asking; the chat template is source, bos, eos."""

    n_ctx: int
    weights: str
    template: tuple[str, str, str] | None


def serve() -> None:
    """Loads the model that the first frame names, and runs what the others ask for."""
    reader = FrameReader(os.fdopen(os.dup(0), "rb", buffering=0))
    answers = _Answers(os.fdopen(os.dup(1), "wb", buffering=0))
    # whatever reads or prints must not get between the frames
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    _leave_signals_to_the_parent()
    faulthandler.enable()
    first = reader.read()
    if first is None:
        return
    name, path, options, log_level = decode(first.body)
    logging.root.addHandler(_Forward(answers))
    logging.root.setLevel(log_level)
    try:
        model = Model(name, path, options)
    except Exception as error:
        answers.send("refused", first.id, encode_error(error))
        return
    try:
        found = model.template
        template = None if found is None else (found.source, found.bos, found.eos)
        facts = Facts(model.n_ctx, str(model.weights), template)
        answers.send("ready", first.id, encode(tuple(facts)))
        _Server(model, answers).run(reader)
    finally:
        model.close()


def _leave_signals_to_the_parent() -> None:
    # handlers, not SIG_IGN, which the compiler's workers would inherit
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if (number := getattr(signal, name, None)) is not None:
            signal.signal(number, lambda *_: None)


class _Answers:
    """Frames to the parent, from any thread; dropped once it has gone."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lock = threading.Lock()

    def send(self, kind: str, id: int, body: bytes = b"") -> None:
        with self._lock, suppress(OSError):
            write_frame(self._file, Frame(kind, id, body))


class _Forward(logging.Handler):
    """Log records as frames."""

    def __init__(self, answers: _Answers) -> None:
        super().__init__()
        self._answers = answers

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)  # a traceback included
        self._answers.send("log", 0, encode((record.name, record.levelno, text)))


class _Running:
    """One request: cancelled as soon as it has a handle, if it was cancelled before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handle: Handle | None = None
        self._is_cancelled = False

    def start(self, submit: Callable[[], Handle]) -> Handle:
        if self._is_cancelled:
            raise CancelledError("the request was cancelled")
        handle = submit()
        with self._lock:
            self._handle = handle
        if self._is_cancelled:
            handle.cancel()
        return handle

    def cancel(self) -> None:
        with self._lock:
            self._is_cancelled = True
            handle = self._handle
        if handle is not None:
            handle.cancel()


class _Server:
    """Requests of the parent on a model."""

    def __init__(self, model: Model, answers: _Answers) -> None:
        self._model = model
        self._answers = answers
        self._running: dict[int, _Running] = {}
        self._grammars = SharedCache[str, Grammar](GRAMMARS_KEPT)
        self._calls: dict[str, Callable[..., object]] = {
            "count_tokens": model.count_tokens,
            "stats": model.stats,
            "pin": self._pin,
            "unpin": model.unpin,
        }

    def run(self, reader: FrameReader) -> None:
        """Answers until the parent has gone. Reading waits for nothing, so no pipe can fill up."""
        with (
            ThreadPoolExecutor(MAX_STARTING, "treegram-submit") as threads,
            ThreadPoolExecutor(1, "treegram-pin") as in_turn,
        ):
            while (frame := reader.read()) is not None:
                match frame.kind:
                    case "submit" | "stream":
                        self._running[frame.id] = _Running()
                        threads.submit(self._submit, frame)
                    case "cancel":
                        if (running := self._running.get(frame.id)) is not None:
                            running.cancel()
                    case "call":
                        threads.submit(self._call, frame)
                    case _:
                        in_turn.submit(self._call, frame)

    def _submit(self, frame: Frame) -> None:
        id = frame.id
        on_text = partial(self._text, id) if frame.kind == "stream" else None
        try:
            request = decode(frame.body, self._grammar)
            handle = self._running[id].start(lambda: self._model.submit(request, on_text))
        except UnknownGrammar:
            self._running.pop(id, None)
            self._answers.send("unknown", id)
        except Exception as error:
            self._running.pop(id, None)
            self._answers.send("refused", id, encode_error(error))
        else:
            self._answers.send("started", id)
            handle.add_done_callback(partial(self._done, id))

    def _call(self, frame: Frame) -> None:
        try:
            name, *arguments = decode(frame.body)
            self._answers.send("answer", frame.id, encode(self._calls[name](*arguments)))
        except Exception as error:
            self._answers.send("refused", frame.id, encode_error(error))

    def _pin(self, name: str, prompt: Prompt, adapter: str, namespace: str) -> int:
        return self._model.pin(name, prompt, adapter=adapter, namespace=namespace)

    def _grammar(self, key: str, text: str | None) -> Grammar:
        while True:
            try:
                return self._grammars.get(key, partial(grammar_from, key, text))
            except UnknownGrammar:
                if text is None:
                    raise
                # it waited for another request's, which came without its text

    # from the engine's thread

    def _text(self, id: int, text: str) -> None:
        self._answers.send("text", id, text.encode(errors="surrogatepass"))

    def _done(self, id: int, handle: Handle) -> None:
        self._running.pop(id, None)
        try:
            self._answers.send("done", id, encode(handle.result()))
        except Exception as error:
            self._answers.send("failed", id, encode_error(error))
