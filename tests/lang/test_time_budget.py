"""A computation ends when its time is over, and nothing reaches the thread afterwards."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

import pytest

from treegram.lang.compiler.time_budget import OutOfTime, _Watched, run_within

HERE = (__name__.partition(".")[0],)


def endless() -> NoReturn:
    while True:
        pass


@pytest.fixture
def quick_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    yield
    sys.setswitchinterval(before)


def test_what_is_quick_is_untouched() -> None:
    assert run_within(60, lambda: 7, HERE) == 7
    with pytest.raises(ZeroDivisionError):
        run_within(60, lambda: 1 // 0, HERE)


def test_what_is_slow_is_ended() -> None:
    began = time.monotonic()
    with pytest.raises(OutOfTime):
        run_within(0.02, endless, HERE)
    assert time.monotonic() - began < 2


def test_what_is_shielded_comes_to_its_end() -> None:
    def careful() -> int:
        until = time.monotonic() + 0.15
        while time.monotonic() < until:
            pass
        return 7

    assert run_within(0.02, careful, HERE, shielded=(__name__,)) == 7


def test_no_handler_on_the_way_takes_it() -> None:
    def careless() -> None:
        while True:
            try:
                endless()
            except Exception:
                continue

    with pytest.raises(OutOfTime):
        run_within(0.02, careless, HERE)


def test_in_any_thread() -> None:
    ended: list[bool] = []

    def body() -> None:
        with pytest.raises(OutOfTime):
            run_within(0.02, endless, HERE)
        ended.append(True)

    threads = [threading.Thread(target=body) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ended) == 4


@pytest.mark.slow
@pytest.mark.usefixtures("quick_switches")
def test_ending_just_when_the_time_is_over() -> None:
    """It is done or it is out of time; the exception never comes later."""
    outcomes: list[bool] = []
    for step in range(80):
        until = time.perf_counter() + 0.02 + (step % 20 - 10) * 1e-3

        def work(until: float = until) -> None:
            while time.perf_counter() < until:
                pass

        try:
            run_within(0.01, work, HERE)
            outcomes.append(True)
        except OutOfTime:
            outcomes.append(False)
        for _ in range(100):
            pass
    assert set(outcomes) == {True, False}


class Finalized:
    """Garbage in a circle, which only the collector frees, and which takes a while to end."""

    def __init__(self) -> None:
        self.circle = self
        weakref.finalize(self, textwrap.wrap, "some text " * 20)


@pytest.mark.slow
@pytest.mark.parametrize("delay_s", [0.0, 0.002], ids=["", "the lock changes hands meanwhile"])
def test_finalizers_are_not_ended(delay_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in one would be lost, and reported to nobody who can do anything about it."""
    may_end = _Watched._may_end

    def looks_around(watched: _Watched, frame: FrameType) -> bool:
        found = may_end(watched, frame)
        if delay_s:
            time.sleep(delay_s)
        return found

    monkeypatch.setattr(_Watched, "_may_end", looks_around)
    lost: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lost.append)

    def litter() -> NoReturn:
        while True:
            Finalized()
            gc.collect(0)
            for _ in range(2_000):
                pass

    for _ in range(25):
        with pytest.raises(OutOfTime):
            run_within(0.01, litter, HERE)
    assert lost == []


def test_an_exception_that_is_swallowed_comes_again() -> None:
    def stubborn() -> NoReturn:
        for _ in range(3):
            try:
                endless()
            except OutOfTime:
                continue
        endless()

    with pytest.raises(OutOfTime):
        run_within(0.01, stubborn, HERE)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_fork_watches_for_itself() -> None:
    """Also while another thread of the parent is being watched."""
    may_end = threading.Event()
    other = threading.Thread(target=run_within, args=(0, may_end.wait, HERE))
    other.start()
    pid = os.fork()
    if pid == 0:
        try:
            run_within(0.01, endless, HERE)
        except OutOfTime:
            os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    may_end.set()
    other.join()


def test_a_profiler_can_go_on_afterwards() -> None:
    """CPython 3.11 runs no further call under a profiler once it was told to raise nothing."""
    program = textwrap.dedent("""
        import sys
        from treegram.lang.compiler.time_budget import run_within

        run_within(60, int, ("treegram",))
        sys.setprofile(lambda *_: None)
        (lambda: None)()
    """)
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
