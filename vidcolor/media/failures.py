"""What FFmpeg's errors while writing mean to the user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import av

from vidcolor.errors import OutputError, ReaderClosed


@contextmanager
def mapped_errors(target: str) -> Iterator[None]:
    """Turn errors of the container into OutputError, of a closed pipe into ReaderClosed."""
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderClosed(f"{target}: the reader has closed the pipe") from error
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror or error})") from error
    except av.FFmpegError as error:
        raise OutputError(f"{target}: the film cannot be put together ({error})") from error
