"""Weights prepared for the machine: a copy of a GGUF whose types have fast kernels here.

llama.cpp's kernels for batches cover most types of weights and not all: on the embedded model
(Q4_1) a prompt runs 2.4 times as fast once the same weights are written as Q8_0, which holds them
nearly exactly. So a file with tensors of such types is rewritten once, by llama.cpp's quantiser,
into the user's cache folder, and the copy is used only where a probe finds it faster, at nobody's
cost, and as close to the original as the original is to itself (`weights_probe`). Types that would
save more (Q4_0) change the answers, and are no candidates.

    STEM-KEY.gguf   the copy, if it was accepted
    STEM-KEY.json   the verdict, so that the question is asked once
    STEM-KEY.lock   held by the process that is working on it

KEY stands for the file's content, the CPU's features, the threads and llama.cpp's version. All work
is done in a child process: an abort of llama.cpp ends that one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from ..atomic_file import new_file
from ..child_interpreter import NoInterpreter, child_command
from ..lang.compiler.cache_folder import cache_folder
from .available_memory import available_memory
from .gguf_tensors import Tensor, read_tensors
from .kv_binding import fingerprint
from .llama import cpu_features, ll
from .weights_folder import SPARE_BYTES, NoRoom, WeightsFolder, megabytes
from .weights_probe import Comparison, ProbeRequest, Speed, comparison_from

LOG = logging.getLogger(__name__)
RECIPE = 1
"""Raised when other tensors are rewritten, or judged otherwise: that ends all old verdicts."""

SLOW_TYPES = {int(ll.GGML_TYPE_Q4_1): "Q4_1", int(ll.GGML_TYPE_Q5_1): "Q5_1"}
"""Types for which this llama.cpp has no kernel for batches on any CPU: neither repacked nor tiled,
nor one of llamafile's."""

TARGET = int(ll.GGML_TYPE_Q8_0)
TARGET_BYTES_PER_WEIGHT = 34 / 32
TIMEOUT_S = 900
ASK_AGAIN_S = 24 * 3600.0
_PASSING = (1, -2, -9, -15)
"""Exit codes that say nothing of the file: an error of Python's, or killed from outside."""


class _Refused(Exception):
    """The original is used, and would be the next time."""


class _RefusedForNow(_Refused):
    """It was measured, or could not be, on a machine that may have been busy; see `ASK_AGAIN_S`."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one file on one machine.

    Attributes:
        reason: one line for people.
        weights: fingerprint of the copy; None if the original is used.
        until: when it is asked again, in seconds since the epoch; None for never.
    """

    reason: str
    weights: str | None = None
    until: float | None = None


def prepared_weights(source: Path, *, n_threads: int, most_bytes: int) -> Path:
    """The file to load in place of `source`: its copy for this machine, or `source` itself.

    The first call for a file may take from seconds to minutes, and logs what was found; later ones
    take milliseconds. `source` must have passed `check_gguf`. Where it cannot be prepared, for
    whatever reason, it is the answer, and the reason is logged.

    Args:
        n_threads: CPU threads that will run the model.
        most_bytes: of all copies in the user's cache folder. Those that were not used for longest
            make room; a file that would need more is loaded as it is.
    """
    try:
        slow, kept = _tensors(source)
        if not slow:
            return source
        folder = WeightsFolder(cache_folder() / "weights")
        return _Copy(source, slow, kept, n_threads, folder).chosen(most_bytes)
    except (_Refused, NoInterpreter, NoRoom, OSError) as error:
        LOG.info("%s is loaded as it is: %s", source, error)
        return source


def _tensors(source: Path) -> tuple[list[Tensor], dict[str, int]]:
    """The tensors to rewrite, and the types of those that stay. Raises _Refused or OSError."""
    try:
        table = read_tensors(source)
    except ValueError as error:
        raise _Refused(f"its table of tensors cannot be read: {error}") from error
    slow = [t for t in table.tensors if t.type in SLOW_TYPES]
    if slow and table.n_files > 1:
        raise _Refused(f"it is one of {table.n_files} parts; join them with llama-gguf-split")
    kept = {t.name: t.type for t in table.tensors if t.type not in (*SLOW_TYPES, TARGET)}
    return slow, kept


class _Copy:
    """The copy of one file for one machine, whether it is there or not."""

    def __init__(
        self,
        source: Path,
        slow: list[Tensor],
        kept: dict[str, int],
        n_threads: int,
        folder: WeightsFolder,
    ) -> None:
        self._source = source
        self._slow = slow
        self._kept = kept
        self._n_threads = n_threads
        self._folder = folder
        library = version("llama-cpp-python")
        key = f"{fingerprint(source)}|{RECIPE}|{cpu_features()}|{n_threads}|{library}"
        digest = hashlib.blake2b(key.encode(), digest_size=12).hexdigest()
        self._name = f"{source.stem[:100]}-{digest}"
        self._weights = folder.path / f"{self._name}.gguf"
        self._verdict = folder.path / f"{self._name}.json"

    def chosen(self, most_bytes: int) -> Path:
        """Raises NoRoom, NoInterpreter or OSError."""
        verdict = self._known()
        if verdict is None:
            with self._folder.alone(self._name):
                verdict = self._known() or self._decided(most_bytes)
        if verdict.weights is None:
            return self._source
        memory = available_memory()
        size = self._weights.stat().st_size
        if memory is not None and memory < size:
            raise NoRoom(
                f"its prepared weights take {megabytes(size)} of memory, where "
                f"{megabytes(memory)} are free"
            )
        os.utime(self._weights)
        LOG.debug("%s is loaded as %s", self._source, self._weights)
        return self._weights

    def _known(self) -> Verdict | None:
        """The verdict of an earlier time, if there is one and its file is what it was."""
        try:
            verdict = Verdict(**json.loads(self._verdict.read_text(encoding="utf-8")))
            if verdict.until is not None and verdict.until < time.time():
                return None
            if verdict.weights is None or verdict.weights == fingerprint(self._weights):
                return verdict
            LOG.warning("%s is damaged; it is made again", self._weights)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError) as error:
            LOG.warning("%s cannot be read: %s; it is made again", self._verdict, error)
        return None

    def _decided(self, most_bytes: int) -> Verdict:
        """Makes the copy, judges it, and remembers the verdict.

        Raises NoRoom, NoInterpreter or OSError.
        """
        self._weights.unlink(missing_ok=True)
        self._check_room(most_bytes)
        types = " and ".join(sorted({SLOW_TYPES[t.type] for t in self._slow}))
        LOG.info("%s: %s has no fast kernel here; preparing it, once", self._source, types)
        try:
            with new_file(self._weights) as part:
                found = self._compared(part)
                reason = f"{types} is used as Q8_0 ({self._weights}): {_judgement(found)}"
                verdict = Verdict(reason, fingerprint(part))
        except _Refused as refusal:
            until = time.time() + ASK_AGAIN_S if isinstance(refusal, _RefusedForNow) else None
            verdict = Verdict(f"{types} stays: {refusal}", until=until)
        with new_file(self._verdict) as part:
            part.write_text(json.dumps(asdict(verdict)), encoding="utf-8")
        LOG.info("%s: %s", self._source, verdict.reason)
        return verdict

    def _check_room(self, most_bytes: int) -> None:
        """Raises NoRoom or OSError."""
        original = self._source.stat().st_size
        weights = sum(t.n_elements for t in self._slow)
        size = original + int(weights * TARGET_BYTES_PER_WEIGHT)  # a little over, not under
        self._folder.make_room(size, most_bytes)
        memory = available_memory()
        largest = max(t.n_elements for t in self._slow)  # the quantiser holds it in F32 and Q8_0
        needed = original + size + 6 * largest + SPARE_BYTES
        if memory is None or memory < needed:
            raise NoRoom(
                f"preparing it takes {megabytes(needed)} of memory, where "
                f"{'an unknown amount is' if memory is None else f'{megabytes(memory)} are'} free"
            )

    def _compared(self, target: Path) -> Comparison:
        """Writes and measures the copy in a child process.

        Raises _Refused where llama.cpp cannot do it, and NoInterpreter or OSError where it should
        be tried again.
        """
        request = ProbeRequest(str(self._source), str(target), self._kept, self._n_threads)
        try:
            child = subprocess.run(
                child_command(f"{__package__}.weights_probe", "main"),
                input=json.dumps(asdict(request)).encode(),
                capture_output=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise _RefusedForNow(f"the probe took over {TIMEOUT_S} s") from error
        if child.returncode:
            lines = child.stderr.decode("utf-8", "replace").strip().splitlines()
            said = f": {lines[-1]}" if lines else ""
            ended = f"the probe ended with code {child.returncode}{said}"
            raise ChildProcessError(ended) if child.returncode in _PASSING else _Refused(ended)
        try:
            return comparison_from(child.stdout)
        except (ValueError, LookupError, TypeError) as error:
            raise _Refused(f"the probe printed no result: {error!r}") from error


def _judgement(found: Comparison) -> str:
    """What speaks for the new weights; raises _Refused with what speaks against them."""
    change, drift = found.change, found.drift
    likeness = (
        f"the likeliest token is another at {change.disagreement:.1%} of positions, divergence "
        f"{change.divergence:.4f} nats (the original in batches of another size: "
        f"{drift.disagreement:.1%}, {drift.divergence:.4f})"
    )
    if found.gain is None:
        raise _Refused(f"as Q8_0 {likeness}")
    speeds = _factors(found.gain)
    if not found.gain.is_gain:
        raise _RefusedForNow(f"as Q8_0 {speeds}")
    return f"{speeds}; {likeness}"


def _factors(gain: Speed) -> str:
    return (
        f"prompts run x {gain.prefill:.2f}, one request x {gain.decode:.2f}, "
        f"many together x {gain.decode_many:.2f}"
    )
