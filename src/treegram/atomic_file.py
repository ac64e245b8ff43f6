"""Files that are there whole or not at all, for folders that any number of processes share.

A file is written under another name beside it and then renamed, so whoever opens it reads all of
it. What a killed process leaves behind is for the folder's owner to find, by its ending.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PART_SUFFIX = ".part"


@contextmanager
def new_file(path: Path, suffix: str = PART_SUFFIX) -> Iterator[Path]:
    """A path to write to, which becomes `path` if the block ends well; else it goes.

    Until then it is a file with that ending in the same folder, which this user alone may read.
    Raises OSError.
    """
    handle, name = tempfile.mkstemp(suffix, dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
