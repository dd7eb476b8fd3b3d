"""Make a small black-and-white film with sound, subtitles and chapters, and colour it.

    python examples/first_film.py [FOLDER]

The pictures are pans over four public-domain photographs that come with scikit-image.
Writes FOLDER/truth.mkv (colour), FOLDER/grey.mkv and FOLDER/coloured.mp4, and a still of all three.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

import vidcolor

RATE, SECONDS_A_SHOT, WIDTH, HEIGHT = 24, 2, 480, 270
SOUND_RATE = 48000
SHOTS = {
    "astronaut": "An astronaut,",
    "chelsea": "a cat\ncalled Chelsea,",
    "coffee": "a cup of coffee",
    "rocket": "and a rocket.",
}

Picture = NDArray[np.uint8]


def photograph(name: str) -> Picture:
    """RGB of one of scikit-image's pictures, at least as large as the film."""
    import cv2
    from skimage import data

    picture: Picture = getattr(data, name)()
    scale = max(1.15 * WIDTH / picture.shape[1], 1.15 * HEIGHT / picture.shape[0])
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def pan(picture: Picture) -> Iterator[Picture]:
    """Frames that wander from one corner of the picture to the other."""
    count = RATE * SECONDS_A_SHOT
    for index in range(count):
        way = index / (count - 1)
        top = round(way * (picture.shape[0] - HEIGHT))
        left = round(way * (picture.shape[1] - WIDTH))
        yield np.ascontiguousarray(picture[top : top + HEIGHT, left : left + WIDTH])


def write_film(path: Path, *, grey: bool) -> None:
    """Write the film with its sound, subtitles and chapters."""
    with av.open(str(path), "w") as film:
        picture = film.add_stream("libx264", rate=RATE, options={"crf": "16"})
        picture.width, picture.height = WIDTH, HEIGHT
        picture.pix_fmt = "gray" if grey else "yuv420p"
        sound = film.add_stream("aac", rate=SOUND_RATE)
        titles = film.add_mux_stream("subrip")
        titles.time_base = Fraction(1, 1000)
        film.metadata["title"] = "Four photographs"
        film.set_chapters([chapter(number, name) for number, name in enumerate(SHOTS)])
        for number, (name, text) in enumerate(SHOTS.items()):
            film.mux(subtitle(titles, number, text))
            for index, rgb in enumerate(pan(photograph(name))):
                frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
                frame.pts = number * RATE * SECONDS_A_SHOT + index
                frame.time_base = Fraction(1, RATE)
                film.mux(picture.encode(frame.reformat(format=picture.pix_fmt)))
            for tone in tones(number):
                film.mux(sound.encode(tone))
        film.mux(picture.encode(None))
        film.mux(sound.encode(None))


def chapter(number: int, name: str) -> Any:
    """A chapter for each photograph, in milliseconds."""
    start, length = number * SECONDS_A_SHOT * 1000, SECONDS_A_SHOT * 1000
    base = Fraction(1, 1000)
    return {
        "id": number,
        "start": start,
        "end": start + length,
        "time_base": base,
        "metadata": {"title": name},
    }


def subtitle(stream: Any, number: int, text: str) -> av.Packet[Any]:
    """One line of text under each photograph."""
    packet: av.Packet[Any] = av.Packet(text.encode())
    packet.stream, packet.time_base = stream, Fraction(1, 1000)
    packet.pts = packet.dts = number * SECONDS_A_SHOT * 1000 + 200
    packet.duration = SECONDS_A_SHOT * 1000 - 400
    return packet


def tones(number: int) -> Iterator[av.AudioFrame]:
    """A soft chord for each photograph."""
    at = np.arange(SOUND_RATE * SECONDS_A_SHOT) / SOUND_RATE
    root = 220.0 * 2 ** (number * 2 / 12)
    chord = sum(np.sin(2 * np.pi * root * ratio * at) for ratio in (1.0, 1.25, 1.5))
    wave = (2500 * chord * np.minimum(1.0, 8 * np.minimum(at, at[::-1]))).astype(np.int16)
    for start in range(0, len(wave), 1024):
        part = np.repeat(wave[start : start + 1024], 2)[None]
        frame = av.AudioFrame.from_ndarray(part, format="s16", layout="stereo")
        frame.sample_rate, frame.time_base = SOUND_RATE, Fraction(1, SOUND_RATE)
        frame.pts = number * len(wave) + start
        yield frame


def still(paths: list[Path], target: Path) -> None:
    """One frame a photograph of each film, side by side."""
    rows = []
    for path in paths:
        with av.open(str(path)) as film:
            frames = [f.to_ndarray(format="rgb24") for f in film.decode(video=0)]
        middle = RATE * SECONDS_A_SHOT // 2
        rows.append(np.concatenate(frames[middle :: RATE * SECONDS_A_SHOT], axis=1))
    picture = av.VideoFrame.from_ndarray(np.concatenate(rows), format="rgb24")
    picture.save(target)


def main() -> None:
    """Make the film, colour it, say where everything is."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "example-film")
    folder.mkdir(parents=True, exist_ok=True)
    truth, grey, coloured = folder / "truth.mkv", folder / "grey.mkv", folder / "coloured.mp4"
    write_film(truth, grey=False)
    write_film(grey, grey=True)
    result = vidcolor.colorize(grey, coloured, vidcolor.Options(overwrite=True))
    still([grey, coloured, truth], folder / "still.png")
    print(f"{result.frames} frames coloured in {result.seconds:.1f} s: {coloured}")
    print(f"look at {folder / 'still.png'}")


if __name__ == "__main__":
    main()
