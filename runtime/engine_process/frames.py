"""What passes between the two processes: frames in a pipe, each a kind, an id and a body.

    8 bytes length | "text 17\\n" | body

To the child go `load`, then `submit`, `stream`, `call` and `cancel`; from it come `ready` or
`refused`, then `started`, `refused`, `unknown` and `answer` for what was asked, `text`, `done` and
`failed` for what runs, and `log`. A body is UTF-8 text (`text`) or `codec.py`'s.
"""

from __future__ import annotations

from collections import deque
from typing import IO, NamedTuple

from ...lang.compiler.worker import LENGTH, write_message

_READ_BYTES = 1 << 16


class Frame(NamedTuple):
    """One message; `id` says which request it is about, 0 for none."""

    kind: str
    id: int
    body: bytes = b""


def write_frame(file: IO[bytes], frame: Frame) -> None:
    """Writes a frame to an unbuffered file. Raises OSError if the other side has gone."""
    write_message(file, b"%s %d\n%s" % (frame.kind.encode(), frame.id, frame.body))


class FrameReader:
    """Frames out of an unbuffered file, many per system call. For one thread.

    It has no lock, so that a fork of the process cannot leave one held.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._data = bytearray()
        self._put_back: deque[Frame] = deque()

    def read(self) -> Frame | None:
        """The next frame, first those that were put back; None if the other side has gone."""
        return self._put_back.popleft() if self._put_back else self.read_new()

    def read_new(self) -> Frame | None:
        """The next frame that was never read."""
        head = self._take(LENGTH.size)
        message = None if head is None else self._take(LENGTH.unpack(head)[0])
        if message is None:
            return None
        kind, _, rest = message.partition(b" ")
        number, _, body = rest.partition(b"\n")
        return Frame(kind.decode(), int(number), body)

    def put_back(self, frame: Frame) -> None:
        """Makes `read` give this frame, after those that were put back before."""
        self._put_back.append(frame)

    def _take(self, size: int) -> bytes | None:
        while len(self._data) < size:
            try:
                more = self._file.read(max(_READ_BYTES, size - len(self._data)))
            except (OSError, ValueError):  # closed from this side
                return None
            if not more:
                return None
            self._data += more
        taken = bytes(self._data[:size])
        del self._data[:size]
        return taken
