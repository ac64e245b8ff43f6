"""treegram: the example's own program over all rows at once."""

from __future__ import annotations

from peer import Peer, Setup
from workload import EXAMPLES, Workload

import treegram as tg
from treegram.runtime.base import LoadedModel
from treegram.runtime.loading import load_program
from treegram.runtime.model_options import ModelOptions
from treegram.runtime.runtime import Runtime

extract = load_program(f"{EXAMPLES / 'extract_metadata.py'}:extract")


@tg.function
def _continue(s: tg.State, text: str) -> None:
    s += text
    s += tg.gen("text", max_tokens=4)


class Treegram(Peer):
    """One model; a fresh one per run, so that its cache is empty.

    `prepared_bytes`: as in ModelOptions; by default the GGUF is loaded as it is, as by every peer.
    """

    def __init__(self, setup: Setup, prepared_bytes: int = 0) -> None:
        options = ModelOptions(n_threads=setup.threads, prepared_bytes=prepared_bytes)
        self._runtime = Runtime(options=options)
        self._model: LoadedModel = self._runtime.model(str(setup.model))

    def warm_up(self, text: str) -> None:
        _continue.run(text, model=self._model)

    def answer(self, workload: Workload) -> list[str]:
        texts = [row.text for row in workload.rows]
        states = extract.run_batch(texts, model=self._model, progress=False)
        return [state.meta("package").text for state in states]

    def close(self) -> None:
        self._runtime.close()
