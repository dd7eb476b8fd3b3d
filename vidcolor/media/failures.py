"""What FFmpeg's errors while writing mean to the user."""

from __future__ import annotations

import av

from vidcolor.errors import OutputError, ReaderClosed


class mapped_errors:  # noqa: N801  # reads as a statement: with mapped_errors(target)
    """Turn errors of the container into OutputError, of a closed pipe into ReaderClosed."""

    def __init__(self, target: str) -> None:
        self._target = target

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, BrokenPipeError):
            raise ReaderClosed(f"{self._target}: the reader has closed the pipe") from error
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            raise OutputError(f"{self._target}: cannot be written ({reason})") from error
        if isinstance(error, av.FFmpegError):
            raise OutputError(f"{self._target}: the film cannot be put together ({error})") from error
