"""One engine process as its parent holds it: started, asked, listened to, and mourned.

    caller ──> outbox ──> writer thread ──> stdin │ child
    caller <── answer ─┐                          │
    on_text, on_done <─┴─ listening thread <── stdout

The listening thread runs the callbacks; it is what the engine's thread is to an engine in this
process. A callback may submit: the thread then reads on until the answer to that is there, and
keeps the rest for later. When the process ends, whatever it was running fails with an error that
says how it ended.
"""

from __future__ import annotations

import itertools
import logging
import os
import queue
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from ...child_interpreter import NoInterpreter, child_command, start_child
from ...lang.base import Request
from ...lang.errors import EngineError, TreegramError
from ..handle import RequestHandle
from ..model_options import ModelOptions
from .codec import decode, decode_error, encode
from .epitaph import LastWords, epitaph
from .frames import Frame, FrameReader, write_frame

LOG = logging.getLogger(__name__)
CLOSE_S = 60.0
"""How long a process may take to save its prefixes and exit before it is killed."""

CLOSED = "the model was closed while this request was running; load it again"
_ANSWERS = ("ready", "refused", "started", "unknown", "answer")


@dataclass(eq=False, slots=True)
class _Running:
    handle: RequestHandle
    on_text: Callable[[str], None] | None
    has_text: bool = False


class EngineProcess:
    """A process that loads one model and runs its requests. Thread-safe.

    It starts loading at once; requests may come after `wait_ready`.

    Attributes:
        has_finished_any: whether some request has ended well.

    Raises:
        EngineError: no process can be started.
    """

    def __init__(self, name: str, path: Path, options: ModelOptions) -> None:
        self._process = _started()
        self._pipes = [
            cast(IO[bytes], pipe)
            for pipe in (self._process.stdin, self._process.stdout, self._process.stderr)
        ]
        self._reader = FrameReader(self._pipes[1])
        self._ids = itertools.count(1)
        self._outbox: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._answers: dict[int, Future[Frame]] = {}
        self._running: dict[int, _Running] = {}
        self._epitaph: str | None = None
        self._is_closing = False
        self.has_finished_any = False
        self._last_words = LastWords()
        self._threads = [
            threading.Thread(target=target, name=f"treegram-{name}", daemon=True)
            for name, target in (
                ("engine-listen", self._listen),
                ("engine-write", self._write),
                ("engine-stderr", self._hear_words),
            )
        ]
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=partial(_disown, weakref.ref(self)))
        for thread in self._threads:
            thread.start()
        level = min(logging.INFO, logging.getLogger("treegram").getEffectiveLevel())
        self._ready = self._ask(next(self._ids), "load", encode((name, path, options, level)))

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._epitaph is None and self._process.poll() is None

    def wait_ready(self) -> Any:
        """Waits until the model is loaded, and gives its `Facts` as a tuple.

        Raises what loading raises, and EngineError if the process ended meanwhile.
        """
        return decode(self._answer(self._ready).body)

    def call(self, method: str, *arguments: object, in_turn: bool = False) -> Any:
        """What a method of the model gives. Raises what it raises, and EngineError.

        `in_turn`: after all others that were called so, also those whose callers have gone.
        """
        kind = "in-turn" if in_turn else "call"
        asked = self._ask(next(self._ids), kind, encode((method, *arguments)))
        return decode(self._answer(asked).body)

    def submit(self, request: Request, on_text: Callable[[str], None] | None) -> RequestHandle:
        """See `Backend.submit`."""
        id = next(self._ids)
        handle = RequestHandle(lambda: self._outbox.put(Frame("cancel", id)))
        kind = "submit" if on_text is None else "stream"
        running = _Running(handle, on_text)
        with self._lock:
            self._running[id] = running
        try:
            answer = self._answer(self._ask(id, kind, encode(request)))
            if answer.kind == "unknown":
                whole = encode(request, with_grammars=True)
                if self._answer(self._ask(id, kind, whole)).kind == "unknown":
                    raise EngineError("the engine's process does not take the request's grammar")
        except BaseException as error:
            was_running = self._forget(id) is not None
            if not isinstance(error, TreegramError):  # the caller was interrupted
                handle.cancel()
            if not running.has_text:
                raise
            if was_running:  # it ended, and had begun: the error is the request's
                handle.fail(error)
        return handle

    def end(self) -> None:
        """Lets the process save what it has and exit; running requests fail. Idempotent."""
        self._is_closing = True
        self._outbox.put(None)
        listener = self._threads[0]
        if not self._ready.done():
            self._process.kill()
        if threading.current_thread() is listener:
            return  # what is left to read is read after this callback
        listener.join(CLOSE_S)
        if listener.is_alive():
            LOG.warning("the engine's process does not end within %g s; it is killed", CLOSE_S)
            self._process.kill()
            listener.join()

    def disown(self) -> None:
        """In a fork of this process: closes its side of the pipes, and leaves the engine alone."""
        for pipe in self._pipes:
            pipe.close()
        self._process.returncode = 0  # or Popen would warn that it still runs
        self._epitaph = "the engine belongs to the process that this one was forked from"

    # asking, from any thread

    def _ask(self, id: int, kind: str, body: bytes) -> Future[Frame]:
        answer: Future[Frame] = Future()
        with self._lock:
            if self._epitaph is not None:
                raise EngineError(self._epitaph)
            self._answers[id] = answer
        # a thread writes: Ctrl-C in the middle of a frame would garble all that follow
        self._outbox.put(Frame(kind, id, body))
        return answer

    def _answer(self, asked: Future[Frame]) -> Frame:
        if threading.current_thread() is self._threads[0]:
            while not asked.done():
                frame = self._reader.read_new()
                if frame is None:
                    self._lose()
                elif frame.kind in _ANSWERS:
                    self._take(frame)
                else:
                    self._reader.put_back(frame)
        answer = asked.result()
        if answer.kind == "refused":
            raise decode_error(answer.body)
        return answer

    def _forget(self, id: int) -> _Running | None:
        with self._lock:
            return self._running.pop(id, None)

    # the threads

    def _write(self) -> None:
        with self._pipes[0] as pipe:
            while (frame := self._outbox.get()) is not None:
                with suppress(OSError):  # it has ended; the listener finds out how
                    write_frame(pipe, frame)

    def _hear_words(self) -> None:
        rest = b""
        with self._pipes[2] as pipe:
            while chunk := pipe.read(1 << 12):
                *lines, rest = (rest + chunk).split(b"\n")
                self._hear(lines)
        self._hear([rest])

    def _hear(self, lines: list[bytes]) -> None:
        for text in (line.decode("utf-8", "replace").strip() for line in lines):
            if text:
                self._last_words.add(text)
                LOG.warning("engine process %d: %s", self.pid, text)

    def _listen(self) -> None:
        with self._pipes[1]:
            while (frame := self._reader.read()) is not None:
                try:
                    self._take(frame)
                except BaseException:  # a caller's sys.exit() must not end this thread
                    LOG.exception("a callback of a request raised")
            self._lose()
        with self._lock:
            running, self._running = list(self._running.values()), {}
        for request in running:
            # a callback may ask for the next process and wait for it; the others must not
            error = EngineError(self._epitaph)
            threading.Thread(target=request.handle.fail, args=(error,), daemon=True).start()

    def _take(self, frame: Frame) -> None:
        match frame.kind:
            case "text":
                self._deliver(frame)
            case "done":
                self.has_finished_any = True
                if (running := self._forget(frame.id)) is not None:
                    running.handle.finish(lambda: decode(frame.body))
            case "failed":
                if (running := self._forget(frame.id)) is not None:
                    running.handle.fail(decode_error(frame.body))
            case "log":
                name, level, text = decode(frame.body)
                logging.getLogger(name).log(level, "%s", text)
            case _:
                with self._lock:
                    answer = self._answers.pop(frame.id)
                answer.set_result(frame)

    def _deliver(self, frame: Frame) -> None:
        running = self._running.get(frame.id)
        if running is None or running.on_text is None:
            return
        running.has_text = True
        try:
            running.on_text(frame.body.decode(errors="surrogatepass"))
        except Exception as error:
            self._forget(frame.id)
            running.handle.cancel()
            running.handle.fail(error)

    def _lose(self) -> None:
        """Fails whoever waits for an answer, once nothing more can be read."""
        if self._epitaph is not None:
            return
        self._outbox.put(None)
        try:
            code = self._process.wait(CLOSE_S if self._is_closing else 1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._threads[2].join(1)
        ended = CLOSED if self._is_closing else epitaph(code, self._last_words)
        with self._lock:
            self._epitaph = ended
            answers, self._answers = list(self._answers.values()), {}
        for answer in answers:
            answer.set_exception(EngineError(ended))


def _started() -> subprocess.Popen[bytes]:
    try:
        return start_child(
            child_command(f"{__package__}.child", "serve"),
            stderr=subprocess.PIPE,
            # ggml would start a debugger on itself before it aborts
            env={"GGML_NO_BACKTRACE": "1", **os.environ},
        )
    except NoInterpreter as error:
        raise EngineError(f"{error}; load the model with engine='thread'") from error
    except OSError as error:
        raise EngineError(
            f"no process for the engine: {sys.executable} cannot be started: {error}"
        ) from error


def _disown(process: weakref.ref[EngineProcess]) -> None:
    found = process()
    if found is not None:
        found.disown()
