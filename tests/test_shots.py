from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import pytest
from pictures import dissolve

from vidcolor.frames import Floats
from vidcolor.stages.shots import LOOKAHEAD, ShotDetector, ShotState


def texture(seed: int, height: int = 96, width: int = 128) -> Floats:
    """Soft random structure of some eight pixels."""
    coarse = np.random.default_rng(seed).random((height // 8 + 2, width // 8 + 2)).astype(np.float32)
    wide = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(wide, 0, 1), np.float32)


def shot(seed: int, count: int, step: float = 0.5) -> list[Floats]:
    """A camera that moves slowly over a texture, ``step`` pixels a picture."""
    wide = texture(seed, 96, 1024)
    return [
        np.asarray(cv2.getRectSubPix(wide, (128, 96), (66 + step * i, 47.5)), np.float32)
        for i in range(count)
    ]


def fade(old: list[Floats], new: list[Floats], length: int, black: int) -> list[Floats]:
    weights = [np.float32((i + 1) / (length + 1)) for i in range(length)]
    down = [p * (1 - w) for p, w in zip(old[-length:], weights, strict=True)]
    up = [p * w for p, w in zip(new[:length], weights, strict=True)]
    return old[:-length] + down + [np.zeros_like(old[0])] * black + up + new[length:]


def decisions(film: Iterable[Floats]) -> list[str | None]:
    """All decisions; holds on the way that none is late and none is missing."""
    detector, made, seen = ShotDetector(), [], 0
    for picture in film:
        made += detector.push(picture)
        seen += 1
        assert seen - LOOKAHEAD <= len(made) <= seen
    made += detector.finish()
    assert len(made) == seen
    return made


def boundaries(film: Iterable[Floats]) -> list[tuple[int, str]]:
    return [(i, kind) for i, kind in enumerate(decisions(film)) if kind]


def test_hard_cuts_are_found_at_their_picture() -> None:
    film = shot(1, 20) + shot(2, 15) + shot(3, 12)
    assert boundaries(film) == [(20, "cut"), (35, "cut")]


def test_a_cut_on_the_last_picture_is_found() -> None:
    assert boundaries([*shot(1, 20), texture(2)]) == [(20, "cut")]


@pytest.mark.parametrize("length", [8, 16, 30])
def test_a_dissolve_is_one_boundary_where_the_new_shot_stands_alone(length: int) -> None:
    film = dissolve(shot(1, 50, 0.1), shot(2, 60, 0.1), length)
    [(at, kind)] = boundaries(film)
    assert kind == "dissolve" and abs(at - 50) <= max(3, length // 4)


@pytest.mark.parametrize(("length", "black"), [(4, 0), (6, 1), (15, 3), (12, 80)])
def test_a_fade_through_black_is_one_boundary(length: int, black: int) -> None:
    film = fade(shot(1, 40, 0.1), shot(2, 40, 0.1), length, black)
    [(at, kind)] = boundaries(film)
    assert kind in ({"fade", "cut"} if black == 0 else {"fade"})
    assert 40 + black - 1 <= at <= 40 + black + 1


def test_a_film_that_rises_out_of_black_has_no_boundary_there() -> None:
    film = fade(shot(1, 10), shot(2, 30), 10, 20)[10:]
    assert boundaries(film) == []


@pytest.mark.parametrize("length", range(1, LOOKAHEAD))
@pytest.mark.parametrize("kind", ["flash", "white", "black", "occlusion"])
def test_what_passes_is_no_boundary(kind: str, length: int) -> None:
    film = shot(4, 40)
    for i in range(20, 20 + length):
        film[i] = {
            "flash": film[i] * np.float32(0.2) + np.float32(0.8),
            "white": np.ones_like(film[i]),
            "black": np.zeros_like(film[i]),
            "occlusion": texture(9) * np.float32(0.3),
        }[kind]
    assert boundaries(film) == []


@pytest.mark.parametrize("share", [0.05, 0.1, 0.15])
def test_a_fast_pan_is_no_boundary(share: float) -> None:
    film = shot(5, 12, 0) + shot(5, 30, 128 * share)
    assert boundaries(film) == []


def spoiled(kind: str, film: list[Floats]) -> list[Floats]:
    rng = np.random.default_rng(7)
    if kind == "ramp":
        gains = np.concatenate((np.ones(10), np.linspace(1, 0.4, 15), np.linspace(0.4, 1.4, 35)))
        return [np.clip(p * np.float32(g), 0, 1) for p, g in zip(film, gains, strict=True)]
    if kind == "flicker":
        return [np.clip(p * np.float32(rng.uniform(0.7, 1.2)), 0, 1) for p in film]
    if kind == "grain":
        return [np.clip(p + rng.normal(0, 0.15, p.shape).astype(np.float32), 0, 1) for p in film]
    if kind == "duplicates":
        return [p for p in film for _ in range(int(rng.integers(0, 4)))]
    moves = [np.array([[1, 0, x], [0, 1, y]]) for x, y in rng.normal(0, 3, (len(film), 2))]
    pairs = zip(film, moves, strict=True)
    return [np.asarray(cv2.warpAffine(p, m, (128, 96), borderMode=cv2.BORDER_REFLECT)) for p, m in pairs]


@pytest.mark.parametrize("kind", ["ramp", "flicker", "grain", "duplicates", "shake"])
def test_a_restless_shot_has_no_boundary_but_its_cut_is_found(kind: str) -> None:
    assert boundaries(spoiled(kind, shot(6, 60))) == []
    if kind in {"flicker", "grain", "shake"}:
        assert boundaries(spoiled(kind, shot(6, 25) + shot(7, 25))) == [(25, "cut")]


def test_a_lamp_that_is_switched_on_is_no_boundary() -> None:
    dark = texture(1) * np.float32(0.5)
    assert boundaries([dark] * 15 + [dark + np.float32(0.3)] * 15) == []


def test_what_a_plain_picture_finds_everywhere_is_a_cut_all_the_same() -> None:
    plain, banded = np.full((96, 128), 0.5, np.float32), texture(1)
    plain[64:, 64:], banded[16:48] = texture(2)[64:, 64:], 0.5
    assert (
        boundaries([plain] * 15 + [banded] * 15) == boundaries([banded] * 15 + [plain] * 15) == [(15, "cut")]
    )


def test_what_goes_over_as_a_dissolve_does_need_not_be_one() -> None:
    old, new = texture(1), texture(2)
    rising = np.linspace(0, 1, 18, dtype=np.float32)[1:-1]
    exposed = [np.clip(old * (1 + 2 * w), 0, 1) for w in (*[0] * 30, *rising, *[1] * 30)]
    assert boundaries(exposed) == []
    # what has covered the picture goes away again
    covering = [np.where(np.arange(128) < 16 * n, new, old) for n in range(9)]
    assert boundaries([old] * 20 + covering + [old * w + new * (1 - w) for w in rising] + [old] * 30) == []
    # a shot rises out of what is nearly black
    dim = new * np.float32(0.1)
    assert boundaries([dim] * 20 + [dim * (1 - w) + old * w for w in rising] + [old] * 30) == []


def test_one_frame_shots_do_not_hide_the_cuts_around() -> None:
    film = [*shot(1, 20), texture(2), *shot(3, 20)]
    found = [at for at, _ in boundaries(film)]
    assert found and set(found) <= {20, 21}
    decisions(texture(seed) for seed in range(30))


def test_black_and_noise_have_no_boundaries() -> None:
    rng = np.random.default_rng(0)
    assert boundaries(np.zeros((96, 128), np.float32) for _ in range(20)) == []
    assert boundaries(rng.random((96, 128)).astype(np.float32) for _ in range(40)) == []


def test_numbers_that_are_none_do_no_harm() -> None:
    decisions([*shot(1, 8), np.full((96, 128), np.nan, np.float32), *shot(1, 8)])


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (40, 3), (2, 2)])
def test_tiny_pictures(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    decisions(rng.random(size).astype(np.float32) for _ in range(20))


def test_another_size_is_a_cut() -> None:
    film = shot(1, 10) + [p[:90] for p in shot(1, 10)] + [np.ones((1, 1), np.float32)]
    assert boundaries(film) == [(10, "cut"), (20, "cut")]


def test_slow_and_fast_film() -> None:
    """At 120 pictures a second little changes; at 5 much, but less than at a cut."""
    assert boundaries(shot(1, 150, 0.05) + shot(2, 100, 0.05)) == [(150, "cut")]
    assert boundaries(shot(1, 20, 8) + shot(2, 20, 8)) == [(20, "cut")]


def test_no_pictures_and_one() -> None:
    assert decisions([]) == []
    assert decisions([texture(0)]) == [None]


def test_a_restored_detector_decides_the_same() -> None:
    film = shot(1, 30) + fade(shot(2, 30), dissolve(shot(3, 40), shot(4, 40), 16), 8, 3)
    whole = decisions(film)
    assert {"cut", "fade", "dissolve"} <= set(whole)
    for at in range(0, len(film), 3):
        first = ShotDetector()
        made = [d for picture in film[:at] for d in first.push(picture)]
        second = ShotDetector(copied(first.state))
        made += [d for picture in film[at:] for d in second.push(picture)]
        assert made + second.finish() == whole


def copied(state: ShotState) -> ShotState:
    return ShotState(
        thumbnails=state.thumbnails.copy(),
        pending=state.pending,
        shot=state.shot,
        seen=state.seen,
        shape=state.shape,
        area=state.area,
    )


def test_memory_does_not_grow() -> None:
    detector = ShotDetector()
    for _ in range(3):
        for picture in shot(1, 100, 0.2):
            detector.push(picture)
        assert detector.state.thumbnails.nbytes < 250_000


BARS = {"pillars": (0, 24), "letterbox": (16, 0), "windowbox": (16, 24), "a bar on one side": (0, 40)}


@pytest.mark.parametrize("kind", BARS)
@pytest.mark.parametrize("faded", [0.0, 0.3])
def test_black_bars_hide_no_cut(kind: str, faded: float) -> None:
    """The bars are the same on both sides of a cut; faded film is soft, and its bars are grey."""
    rows, columns = BARS[kind]
    both = kind != "a bar on one side"

    def barred(grey: Floats) -> Floats:
        wide = np.pad(grey, ((rows, rows), (columns, columns if both else 0)))
        return (faded + (1 - 2 * faded) * wide).astype(np.float32)

    film = [barred(texture(seed)) for seed in (1, 2, 3) for _ in range(12)]
    assert [n for n, kind in enumerate(decisions(film)) if kind] == [12, 24]


def test_bars_that_end_are_no_cut_and_hide_none() -> None:
    """A subtitle comes into the bar in mid-shot, then the shot changes."""
    film = []
    for seed in (1, 2):
        for index in range(16):
            picture = np.pad(texture(seed), ((20, 20), (0, 0)))
            if index > 5:
                picture[-14:-8, 30:90:2] = 1.0
            film.append(picture.astype(np.float32))
    assert [n for n, kind in enumerate(decisions(film)) if kind] == [16]


@pytest.mark.parametrize(
    ("bar", "area"),
    [
        (np.s_[:16], (6, 36, 0, 48)),
        (np.s_[-16:], (0, 30, 0, 48)),
        (np.s_[:, :24], (0, 36, 9, 48)),
        (np.s_[:, -24:], (0, 36, 0, 39)),
    ],
)
def test_where_a_bar_ends_all_is_looked_at_and_stays_so(bar: object, area: tuple[int, ...]) -> None:
    whole = texture(1)
    barred = whole.copy()
    barred[bar] = 0.0  # type: ignore[index]
    detector, seen = ShotDetector(), []
    for picture in (barred, barred, whole, barred):
        detector = ShotDetector(detector.state)
        detector.push(picture)
        seen.append(detector.state.area)
    assert seen == [area, area, (0, 36, 0, 48), (0, 36, 0, 48)]
