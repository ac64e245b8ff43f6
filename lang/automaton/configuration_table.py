"""Interns configurations, so that equal ones are one object and remember where they lead."""

from __future__ import annotations

from .configuration import Configuration, Place
from .frames import Frame, FrameTable
from .joining import joined
from .scopes import Scope

MAX_CONFIGURATIONS = 20_000
"""Interned configurations before all are dropped, and the table is begun again."""


class ConfigurationTable:
    """The configurations of one automaton. Threads may share it.

    Attributes:
        after: what follows a frame; dropped together with the rest.
        start: where every text begins; it reaches what others remember, so it forgets, too.
    """

    def __init__(self, scopes: list[Scope], frames: FrameTable) -> None:
        self._scopes = scopes
        self._frames = frames
        self._configurations: dict[tuple[frozenset[Place], bool], Configuration] = {}
        self._writing: dict[tuple[Configuration, bytes], Configuration] = {}
        self.after: dict[Frame, Configuration | None] = {}
        self.start: Configuration | None = None

    def __len__(self) -> int:
        return len(self._configurations)

    def intern(self, places: frozenset[Place], accepting: bool) -> Configuration:
        """The configuration of these places."""
        if len(places) > 1:
            places = joined(places, self._scopes, self._frames)
        key = (places, accepting)
        configuration = self._configurations.get(key)
        if configuration is None:
            if len(self._configurations) >= MAX_CONFIGURATIONS:
                self._drop()
            configuration = self._configurations.setdefault(key, Configuration(places, accepting))
        return configuration

    def with_text(self, core: Configuration, written: bytes) -> Configuration:
        """The configuration of a core after `written`."""
        if not core.writing or not written:
            return core
        key = (core, written)
        configuration = self._writing.get(key)
        if configuration is None:
            if len(self._writing) >= MAX_CONFIGURATIONS:
                self._writing.clear()
            configuration = Configuration(core.places, core.accepting, written, core)
            configuration = self._writing.setdefault(key, configuration)
        return configuration

    def _drop(self) -> None:
        self._configurations.clear()
        self._writing.clear()
        self._frames.clear()
        self.after.clear()
        if self.start is not None:
            self.start.memo.clear()
            self.start.texts.clear()
