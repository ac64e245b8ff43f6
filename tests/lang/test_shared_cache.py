"""Each value is made once; nobody waits for another one's."""

from __future__ import annotations

import os
import threading
from typing import NoReturn

import pytest

from treegram.lang.compiler.shared_cache import SharedCache


def refuse() -> NoReturn:
    raise LookupError("no")


def test_the_least_recently_used_goes_first() -> None:
    cache: SharedCache[str, int] = SharedCache(2)
    assert cache.get("a", lambda: 1) == 1
    cache.get("b", lambda: 2)
    assert cache.get("a", refuse) == 1
    cache.get("c", lambda: 3)
    assert cache.get("a", refuse) == 1
    assert cache.get("b", lambda: 4) == 4


def test_an_error_is_not_kept() -> None:
    cache: SharedCache[str, int] = SharedCache(2)
    with pytest.raises(LookupError):
        cache.get("a", refuse)
    assert cache.get("a", lambda: 1) == cache.get("a", refuse) == 1


class Slow:
    """Makes 7, or fails, when told to."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.has_begun, self.may_end = threading.Event(), threading.Event()
        self.error = error

    def __call__(self) -> int:
        self.has_begun.set()
        assert self.may_end.wait(10)
        if self.error is not None:
            raise self.error
        return 7


def get(cache: SharedCache[str, int], slow: Slow, found: list[object]) -> threading.Thread:
    """Asks for "slow" in a thread; `found` gets the value or the error."""

    def body() -> None:
        try:
            found.append(cache.get("slow", slow))
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    return thread


def test_others_are_not_held_up_and_it_is_made_once() -> None:
    cache, slow, found = SharedCache[str, int](4), Slow(), list[object]()
    threads = [get(cache, slow, found)]
    assert slow.has_begun.wait(10)
    threads += [get(cache, Slow(AssertionError("twice")), found) for _ in range(3)]
    assert cache.get("quick", lambda: 1) == 1
    assert not found
    slow.may_end.set()
    for thread in threads:
        thread.join()
    assert found == [7, 7, 7, 7]


def test_those_who_wait_get_the_error() -> None:
    error = LookupError("no")
    cache, slow, found = SharedCache[str, int](4), Slow(error), list[object]()
    threads = [get(cache, slow, found)]
    assert slow.has_begun.wait(10)
    threads.append(get(cache, slow, found))
    slow.may_end.set()
    for thread in threads:
        thread.join()
    assert found == [error, error]


def test_an_interrupted_one_is_made_by_the_next() -> None:
    error = KeyboardInterrupt()
    cache, interrupted, found = SharedCache[str, int](4), Slow(error), list[object]()
    first = get(cache, interrupted, found)
    assert interrupted.has_begun.wait(10)
    other = Slow()
    other.may_end.set()
    second = get(cache, other, found)
    interrupted.may_end.set()
    first.join()
    second.join()
    assert sorted(found, key=repr) == [7, error]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_fork_does_not_wait_for_the_parent_s_threads() -> None:
    cache, slow, found = SharedCache[str, int](4), Slow(), list[object]()
    assert cache.get("made", lambda: 1) == 1
    thread = get(cache, slow, found)
    assert slow.has_begun.wait(10)
    pid = os.fork()
    if pid == 0:
        os._exit(cache.get("slow", lambda: 7) + cache.get("made", refuse))
    slow.may_end.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 8
    assert found == [7]
