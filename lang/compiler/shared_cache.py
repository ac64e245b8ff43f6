"""A cache in which each value is made once, however many threads ask for it."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError, Future
from typing import Generic, TypeVar

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class SharedCache(Generic[_K, _V]):
    """The most recently used values. Thread-safe.

    A value is made outside the lock, so that only those who asked for it wait for it: the rows of a
    batch share one compilation, and no other request is held up.

    Args:
        limit: values kept, least recently used out first.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[_K, Future[_V]] = OrderedDict()
        self._begin()

    def _begin(self) -> None:
        """Also after a fork: the threads that were making values are not in the child."""
        self._process = os.getpid()
        self._lock = threading.Lock()
        for key in [key for key, future in self._values.items() if not future.done()]:
            del self._values[key]

    def get(self, key: _K, make: Callable[[], _V]) -> _V:
        """The value of `key`, from `make()` if there is none. Raises what `make` raises."""
        while True:
            if self._process != os.getpid():
                self._begin()
            with self._lock:
                found = self._values.get(key)
                future = self._values.setdefault(key, found or Future())
                self._values.move_to_end(key)
                if len(self._values) > self._limit:
                    self._values.popitem(last=False)
            if found is None:
                return self._fulfil(key, future, make)
            try:
                return found.result()
            except CancelledError:
                continue  # whoever was making it was interrupted

    def _fulfil(self, key: _K, future: Future[_V], make: Callable[[], _V]) -> _V:
        try:
            value = make()
        except BaseException as error:
            with self._lock:
                if self._values.get(key) is future:
                    del self._values[key]
            if isinstance(error, Exception):
                future.set_exception(error)
            else:
                future.cancel()
            raise
        future.set_result(value)
        return value
