"""Images in programs: what is taken for one, what is refused, and how messages show them."""

from __future__ import annotations

import base64
import io
import struct
from pathlib import Path

import pytest

import treegram as tg
from treegram.lang.base import GenRequest
from treegram.lang.images import MOST_PIXELS, Picture, read_picture

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 3, 2) + bytes(9)
GIF = b"GIF89a" + struct.pack("<HH", 3, 2) + bytes(20)
BMP = b"BM" + bytes(12) + struct.pack("<Iii", 40, 3, -2) + bytes(28)
OS2_BMP = b"BM" + bytes(12) + struct.pack("<IHH", 12, 3, 2) + bytes(28)
JPEG = (
    b"\xff\xd8\xff\xe0" + struct.pack(">H", 6) + b"JFIF"
    b"\xff\xff\xc0" + struct.pack(">HBHH", 11, 8, 2, 3) + bytes(6)
)
KINDS = {"png": PNG, "gif": GIF, "bmp": BMP, "jpeg": JPEG}


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_files_and_data_urls_are_the_same_image(kind: str, tmp_path: Path) -> None:
    data = KINDS[kind]
    file = tmp_path / f"image.{kind}"
    file.write_bytes(data)
    picture = read_picture(data)
    assert picture.data_url.startswith(f"data:image/{kind};base64,")
    for source in (bytearray(data), str(file), file, picture.data_url):
        assert read_picture(source) == picture
    assert read_picture(data + b"\0").digest != picture.digest


def test_a_bitmap_of_os2_is_one() -> None:
    assert read_picture(OS2_BMP).data == OS2_BMP


class PillowImage:
    """What `image` uses of Pillow's images."""

    def convert(self, mode: str) -> PillowImage:
        assert mode == "RGB"
        return self

    def save(self, file: io.BytesIO, format: str) -> None:
        assert format == "PNG"
        file.write(PNG)


def test_a_pillow_image_is_one() -> None:
    assert read_picture(PillowImage()).data == PNG


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere.png", "nowhere.png: No such file"),
        (Path("/"), "no plain file"),
        ("a\0b.png", "null byte"),
        (b"", "the image is empty"),
        (b"<svg/>", "is no PNG, JPEG, GIF or BMP"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "convert it"),
        (PNG[:12], "damaged"),
        (PNG[:8] + struct.pack(">I4sII", 8, b"CgBI", 1, 1) + bytes(4) + PNG[8:], "damaged"),
        ("/dev/zero", "no plain file"),
        (JPEG[:12], "damaged"),
        (b"\xff\xd8\xff\xe0\0\0" + bytes(20), "damaged"),
        (PNG.replace(struct.pack(">II", 3, 2), bytes(8)), "damaged"),
        (PNG.replace(struct.pack(">II", 3, 2), struct.pack(">II", 1 << 16, 1 << 16)), "scale it"),
        ("http://example.com/cat.png", "download it"),
        ("HTTPS://example.com/cat.png", "download it"),
        ("data:image/png,abc", "base64"),
        ("data:image/png;base64,a", "damaged"),
        ("data:image/png;base64," + base64.b64encode(b"hello").decode(), "is no PNG"),
        (3, "expected a path"),
        (None, "expected a path"),
    ],
)
def test_what_is_no_image_is_refused_where_it_is_named(source: object, words: str) -> None:
    with pytest.raises(tg.ParameterError, match=words) as error:
        tg.image(source)
    assert error.value.parameter == "source"


def test_the_largest_image_fits() -> None:
    side = int(MOST_PIXELS**0.5)
    header = struct.pack(">II", side, side)
    assert read_picture(PNG.replace(struct.pack(">II", 3, 2), header))


def test_an_image_is_a_part_of_its_message() -> None:
    @tg.function
    def look(s: tg.State) -> None:
        s += tg.user("What is ", tg.image(PNG), "?")
        s += tg.assistant(tg.gen("answer"))

    backend = tg.ScriptedBackend("a dot")
    state = look.run(model=backend)
    dot = read_picture(PNG)
    [request] = backend.requests
    assert isinstance(request, GenRequest)
    assert [span for span in request.prompt if isinstance(span, Picture)] == [dot]
    assert state.messages() == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is "},
                {"type": "image_url", "image_url": {"url": dot.data_url}},
                {"type": "text", "text": "?"},
            ],
        },
        {"role": "assistant", "content": "a dot"},
    ]
    assert f"What is <image {dot.digest}>?" in state.text()


def test_images_and_text_add_up() -> None:
    assert (tg.image(PNG) + "?").items == (tg.image(PNG), "?")
    with pytest.raises(tg.ProgramError, match=r"image\(\.\.\.\) inside an f-string"):
        f"{tg.image(PNG)}"


def test_the_text_that_stands_for_an_image_is_none() -> None:
    """Whoever writes it gets text."""
    backend = tg.ScriptedBackend("no")

    @tg.function
    def look(s: tg.State) -> None:
        s += [read_picture(PNG).text, tg.gen("answer")]

    look.run(model=backend)
    assert not any(isinstance(span, Picture) for span in backend.requests[0].prompt)
