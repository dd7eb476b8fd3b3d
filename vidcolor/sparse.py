"""Which pictures the generator colours: every second one, where motion explains those between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from vidcolor.frames import Floats, Picture
from vidcolor.motion import Motion
from vidcolor.stages.interpolate import MOST_APART, apart, between, is_explained
from vidcolor.stages.propagate import Propagator
from vidcolor.temporal import Link, Linker

T = TypeVar("T")

BEYOND = 1
"""Pictures after one that bear on its ab before that is smoothed."""
_UNDER_WAY = 1
"""Batches that are predicted while others are settled."""


@dataclass(kw_only=True)
class _Item(Generic[T]):
    """A picture: ``chosen`` if the generator is to colour it."""

    what: T
    link: Link
    chosen: bool = False
    ab: Floats | None = None

    @property
    def motion(self) -> Motion:
        """From the picture before, which is of the same shot."""
        return _motion_of(self.link)


@dataclass(frozen=True)
class _Asked(Generic[T]):
    """Pictures that are being coloured."""

    items: Sequence[_Item[T]]
    found: Future[list[Floats]]

    def wait(self) -> None:
        items = self.items
        try:
            found = self.found.result()
        finally:
            del self  # with the future in this frame, what failed would keep its memory
        for item, ab in zip(items, found, strict=True):
            item.ab = ab


class Sparse(Generic[T]):
    """Has pictures coloured by the generator or by their neighbours; they go in and come out in order.

    Where a shot begins or ends, and where a segment begins, it is the generator, so that what a segment's
    pictures are coloured by depends on nothing before it. While a batch is predicted, that before is settled.

    Args:
        ask: has the ab ``(h, w, 2)`` of some pictures, ``batch_size`` at most, predicted.
        batch_size: pictures that are gathered for it.
        every: whether it is to colour all.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[tuple[T, Link]]], Future[list[Floats]]],
        batch_size: int,
        *,
        every: bool = False,
    ) -> None:
        self._ask = ask
        self._size = batch_size
        self._every = every
        self._before: _Item[T] | None = None  # the last that came out
        self._items: deque[_Item[T]] = deque()
        self._due: list[_Item[T]] = []
        self._asked: deque[_Asked[T]] = deque()

    def push(self, what: T, link: Link, *, opens: bool = False) -> list[tuple[Link, Floats]]:
        """Take the next picture; returns those whose ab is certain now, with their links.

        Args:
            what: is handed to ``ask``.
            link: how it follows the picture before it.
            opens: whether a segment begins with it.
        """
        last = self._items[-1] if self._items else self._before
        chosen = True
        if not self._every and last is not None and _goes_on(last.link, link):
            if last.chosen:
                chosen = opens
            elif not is_explained(last.motion, _motion_of(link)):
                self._choose(last)
                chosen = opens
        elif last is not None and not last.chosen:
            self._choose(last)
        item = _Item(what=what, link=link)
        self._items.append(item)
        if chosen:
            self._choose(item)
        return self._settle(_UNDER_WAY) if len(self._due) >= self._size else []

    def finish(self) -> list[tuple[Link, Floats]]:
        """Those that still wait, at the end of the film."""
        if self._items and not self._items[-1].chosen:
            self._choose(self._items[-1])
        certain = []
        while self._items:
            certain += self._settle(0)
        return certain

    def _choose(self, item: _Item[T]) -> None:
        item.chosen = True
        self._due.append(item)

    def _settle(self, under_way: int) -> list[tuple[Link, Floats]]:
        """Have what is chosen predicted, and find what lies between, or choose it where that is in doubt.

        Args:
            under_way: batches that are not waited for.
        """
        parts = [self._due[at : at + self._size] for at in range(0, len(self._due), self._size)]
        self._asked += [_Asked(part, self._ask([(one.what, one.link) for one in part])) for part in parts]
        self._due = []
        while len(self._asked) > under_way:
            self._asked.popleft().wait()
        row = [*([self._before] if self._before else []), *self._items]
        for earlier, item, later in zip(row, row[1:], row[2:], strict=False):
            if item.chosen or item.ab is not None or earlier.ab is None or later.ab is None:
                continue
            step = item.motion, later.motion
            if apart(earlier.ab, later.ab, *step) > MOST_APART:
                self._choose(item)
            else:
                item.ab = between(earlier.ab, later.ab, *step)
        certain = []
        while self._items and (ab := self._items[0].ab) is not None:
            self._before = self._items.popleft()
            certain.append((self._before.link, ab))
        return certain


def _motion_of(link: Link) -> Motion:
    found = None if link.motion is None else link.motion.result()
    if found is None:
        raise ValueError("a picture without motion has no neighbour to be explained by")
    return found


def _goes_on(last: Link, link: Link) -> bool:
    """Whether a picture can be explained by the one before it, or explain that."""
    if link.begins or link.dissolved or link.area != last.area or link.motion is None:
        return False
    return link.motion.result() is not None


def smooth(
    pairs: Iterable[tuple[Picture, Floats]], mode: str, smoothing: float, *, every: bool = False
) -> Iterator[Floats]:
    """Smooth the ab ``(h, w, 2)`` of a film's pictures, all in order, as the pipeline does.

    Args:
        pairs: pictures with what the generator says of each, whether it is asked or not.
        mode, smoothing: as :class:`~vidcolor.stages.propagate.Propagator` takes them.
        every: as :class:`Sparse` takes it.
    """
    linker, propagator = Linker(mode if smoothing > 0.0 else "off"), Propagator(mode, smoothing)
    sparse: Sparse[Floats] = Sparse(_known, 1, every=every)
    waiting: deque[Floats] = deque()
    for picture, ab in pairs:
        waiting.append(ab)
        for link in linker.push(picture.grey):
            for settled in sparse.push(waiting.popleft(), link):
                yield from settled[0].apply(propagator, settled[1])
    for link in linker.finish():
        for settled in sparse.push(waiting.popleft(), link):
            yield from settled[0].apply(propagator, settled[1])
    for settled in sparse.finish():
        yield from settled[0].apply(propagator, settled[1])
    yield from propagator.finish()


def _known(asked: Sequence[tuple[Floats, Link]]) -> Future[list[Floats]]:
    found: Future[list[Floats]] = Future()
    found.set_result([ab for ab, _ in asked])
    return found
