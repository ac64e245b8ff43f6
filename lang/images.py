"""Images in prompts: read and checked where a program names them, and known by their content.

What a model's projector decodes are PNG, JPEG, GIF and BMP files, whose first bytes also say how
large the picture is: a file of a few kilobytes can unpack to gigabytes, so that is checked here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from .errors import ParameterError

MOST_PIXELS = 64_000_000
"""Pixels of the largest image that is accepted; each takes three bytes while it is read."""

_MEDIA_TYPES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"BM": "image/bmp",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """An image in a prompt: the bytes of a file, and their BLAKE2b-128 in hex.

    `text` stands for it wherever a prompt is shown.
    """

    data: bytes = field(repr=False)
    digest: str

    @property
    def text(self) -> str:
        return f"<image {self.digest}>"

    @property
    def data_url(self) -> str:
        """The image as a `data:` URL."""
        return f"data:{_media_type(self.data)};base64,{base64.b64encode(self.data).decode()}"


def read_picture(source: object) -> Picture:
    """The image that `source` names or is; see `image`. Raises ParameterError."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return picture_of(bytes(source))
    if isinstance(source, str) and re.match(r"(?i)(data|https?):", source):
        return picture_of_url(source)
    if isinstance(source, (str, Path)):
        try:
            path = Path(source).expanduser()
            if path.exists() and not path.is_file():  # a device may have no end
                raise ParameterError("source", f"{source}: is no plain file")
            data = path.read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            reason = getattr(error, "strerror", None) or error
            raise ParameterError("source", f"{source}: {reason}") from error
        return picture_of(data, str(source))
    if callable(getattr(source, "convert", None)) and callable(getattr(source, "save", None)):
        buffer = BytesIO()
        source.convert("RGB").save(buffer, "PNG")  # type: ignore[attr-defined]  # Pillow's
        return picture_of(buffer.getvalue())
    raise ParameterError(
        "source", f"expected a path, bytes, a data: URL or a Pillow image, got {source!r:.80}"
    )


def picture_of_url(url: str) -> Picture:
    """The image in a base64 `data:` URL (RFC 2397). Raises ParameterError."""
    head, comma, body = url.partition(",")
    if not re.fullmatch(r"(?i)data:[^,]*;base64", head) or not comma:
        raise ParameterError(
            "source",
            f"{url:.60}: expected data:image/...;base64,...; nothing is fetched from other URLs: "
            "download it and give its bytes",
        )
    try:
        data = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ParameterError("source", f"{head}: the base64 is damaged: {error}") from error
    return picture_of(data, head)


def picture_of(data: bytes, name: str = "the image") -> Picture:
    """The image in a file's bytes. Raises ParameterError, which calls it `name`."""
    if _media_type(data) is None:
        # what is in it is not told: a program may have been given the path by a client
        what = "is no PNG, JPEG, GIF or BMP file: convert it" if data else "is empty"
        raise ParameterError("source", f"{name} {what}")
    width, height = _size(data)
    if not width or not height:
        raise ParameterError("source", f"{name} is damaged: its header gives no width and height")
    if width * height > MOST_PIXELS:
        raise ParameterError(
            "source",
            f"{name} has {width} x {height} pixels; at most {MOST_PIXELS} in all are accepted: "
            "scale it down, models do so anyway",
        )
    return Picture(data, hashlib.blake2b(data, digest_size=16).hexdigest())


def _media_type(data: bytes) -> str | None:
    return next((kind for magic, kind in _MEDIA_TYPES.items() if data.startswith(magic)), None)


def _size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels as the header has them; zeros where it is cut short."""

    def number(start: int, stop: int, *, big: bool = False) -> int:
        return int.from_bytes(data[start:stop], "big" if big else "little")

    match _media_type(data):
        case "image/png" if data[12:16] != b"IHDR":  # decoders pass over other chunks
            return 0, 0
        case "image/png":
            return number(16, 20, big=True), number(20, 24, big=True)
        case "image/gif":
            return number(6, 8), number(8, 10)
        case "image/bmp" if number(14, 18) == 12:  # the header of OS/2 1.x
            return number(18, 20), number(20, 22)
        case "image/bmp":
            height = int.from_bytes(data[22:26], "little", signed=True)
            return number(18, 22), abs(height)  # negative where the rows begin at the top
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a frame begins
            return number(at + 7, at + 9, big=True), number(at + 5, at + 7, big=True)
        at += 1 if marker == 0xFF else 2 + number(at + 2, at + 4, big=True)
    return 0, 0
