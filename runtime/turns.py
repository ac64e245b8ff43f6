"""Which adapter the next batch runs under.

llama.cpp applies LoRA adapters to a context, hence to a whole batch, and plans its graph anew at
each change, which takes half as long as a decode step of the embedded model does. So the running
requests of one adapter are decoded together for some steps, then those of the next one, and so on
in a circle: whoever runs gets a turn, however long others run.
"""

from __future__ import annotations

from collections.abc import Sequence

from .request import EngineRequest


class Turns:
    """Not thread-safe.

    STEPS: batches in a row that one adapter gets while requests of others run.

    Attributes:
        adapter: whose turn it is; "" is the model without an adapter.
    """

    STEPS = 8

    def __init__(self) -> None:
        self.adapter = ""
        self._steps = 0

    def next(self, running: Sequence[EngineRequest]) -> None:
        """Counts a batch, and passes the turn on when it is over."""
        self._steps += 1
        if self._steps > self.STEPS:
            self._pass_on(running)

    def of(self, running: Sequence[EngineRequest]) -> list[EngineRequest]:
        """Those of `running` whose turn it is, in their order; of nobody only if nobody runs."""
        found = [request for request in running if request.adapter == self.adapter]
        if not found and running:
            self._pass_on(running)
            found = self.of(running)
        return found

    def _pass_on(self, running: Sequence[EngineRequest]) -> None:
        """To the adapter that comes next by name, or to the first one behind the last."""
        adapters = sorted({request.adapter for request in running})
        after = [adapter for adapter in adapters if adapter > self.adapter]
        self.adapter = (after or adapters or [""])[0]
        self._steps = 1
