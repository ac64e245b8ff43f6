"""Fixtures of the language's tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import FrameType

import pytest

LIMIT_S = 20


@pytest.fixture
def no_hang() -> Iterator[None]:
    """Fails a test that waits for something that never comes, instead of hanging the run."""

    def fail(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"the test did not finish in {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(LIMIT_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
