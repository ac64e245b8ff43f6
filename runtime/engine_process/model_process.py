"""A loaded model whose engine runs in a process of its own, behind the interface of `Model`.

llama.cpp cannot take this process down with it, and a busy thread here takes no time from a decode
step there. Prompts are rendered here, everything else is asked of the other process.
"""

from __future__ import annotations

import logging
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

from ...lang.base import Handle, Message, Prompt, Request
from ...lang.errors import EngineError, TreegramError
from ..engine import SWITCH_INTERVAL_S
from ..model_options import ModelOptions
from ..stats import EngineStats
from ..template import ChatTemplate, chat_prompt
from .child import Facts
from .process import EngineProcess
from .supervisor import Supervisor

_T = TypeVar("_T")
LOG = logging.getLogger(__name__)


class ModelProcess:
    """One GGUF, its engine and its cache, in a process of their own. Thread-safe.

    A process that ends unasked fails the requests that it was running with an EngineError that says
    how it ended. The next request starts another, which may wait if it has happened before, up to
    30 seconds. Prefixes on disk are found again, pinned ones are evaluated again; others in memory,
    and counters, are gone.

    Attributes:
        n_ctx: KV cells: those of `ModelOptions`, rounded up by llama.cpp.
        weights: the file that is really loaded: the one given, or its copy for this machine.
        template: the GGUF's own chat template, or None.

    Raises:
        ModelError: the file is missing, damaged, or of an architecture that is not supported.
        EngineError: the process ended while it loaded the model, or cannot be started.
    """

    def __init__(self, name: str, path: Path, options: ModelOptions | None = None) -> None:
        self.name = name
        if sys.getswitchinterval() > SWITCH_INTERVAL_S:  # answers wait for a busy thread, too
            sys.setswitchinterval(SWITCH_INTERVAL_S)
        start = partial(EngineProcess, name, path, options or ModelOptions())
        self._pins: dict[str, tuple[Prompt, str, str]] = {}
        self._supervisor = Supervisor(start, partial(_pin_again, self._pins))
        facts = Facts(*self._supervisor.facts)
        self.n_ctx = facts.n_ctx
        self.weights = Path(facts.weights)
        self.template = None if facts.template is None else ChatTemplate(*facts.template)
        # also at interpreter exit, so that prefixes are saved to disk
        self._close = weakref.finalize(self, self._supervisor.close)

    @property
    def pid(self) -> int:
        """The number of the engine's process."""
        return self._supervisor.process().pid

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` as user text."""
        return self._ask(lambda process: cast(int, process.call("count_tokens", text)))

    def stats(self) -> EngineStats:
        """What the engine and its cache did since their process started."""
        return self._ask(lambda process: cast(EngineStats, process.call("stats")))

    def close(self) -> None:
        """Ends the process; running requests fail. Idempotent."""
        self._close()

    # --- Backend ---------------------------------------------------------------------------

    def render_chat(self, messages: Sequence[Message], add_generation_prompt: bool) -> Prompt:
        """See `Backend.render_chat`. Raises ModelError if the GGUF has no chat template."""
        return chat_prompt(self.name, self.template, messages, add_generation_prompt)

    def submit(self, request: Request, on_text: Callable[[str], None] | None = None) -> Handle:
        """See `Model.submit`.

        Raises:
            ParameterError: also for a request that holds more than plain data.
            EngineError: the model is closed, or the process ended.
        """
        return self._ask(lambda process: process.submit(request, on_text))

    def pin(self, name: str, prompt: Prompt, *, adapter: str = "", namespace: str = "") -> int:
        """See `lang.pinned.Pinning`. Waits until the prompt is evaluated."""
        before = self._pins.get(name)
        self._pins[name] = pin = (prompt, adapter, namespace)
        try:
            return self._ask(lambda process: _pin(process, name, *pin))
        except BaseException:
            if before is None:
                self._pins.pop(name, None)
            else:
                self._pins[name] = before
            raise

    def unpin(self, name: str) -> None:
        """See `lang.pinned.Pinning`."""
        self._pins.pop(name, None)
        if (process := self._supervisor.running()) is not None:
            with suppress(EngineError):  # it has ended, and its pins with it
                process.call("unpin", name, in_turn=True)

    def _ask(self, use: Callable[[EngineProcess], _T]) -> _T:
        process = self._supervisor.process()
        try:
            return use(process)
        except EngineError:
            if process.is_alive:
                raise
        # it ended before it took the request: the next process may have it
        return use(self._supervisor.process())


def _pin(process: EngineProcess, name: str, prompt: Prompt, adapter: str, namespace: str) -> int:
    return cast(int, process.call("pin", name, prompt, adapter, namespace, in_turn=True))


def _pin_again(pins: Mapping[str, tuple[Prompt, str, str]], process: EngineProcess) -> None:
    for name, pin in list(pins.items()):
        try:
            _pin(process, name, *pin)
            if name not in pins:  # somebody has let go of it meanwhile
                process.call("unpin", name, in_turn=True)
        except TreegramError as error:
            if not process.is_alive:
                return  # whoever asks it for something finds that out
            LOG.warning("%s is not pinned in the engine's next process: %s", name, error)
