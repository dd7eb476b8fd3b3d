"""Photographs that FFmpeg shows in part, or black, without an error: said, or refused."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from calling import call, one_line
from PIL import Image

from vidcolor.media.stills import black_tiff, is_cut_off

Said = pytest.CaptureFixture[str]
GREY = Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64), np.uint8))


@pytest.mark.parametrize("progressive", [False, True])
def test_a_photograph_that_is_cut_off_is_said_to_be(progressive: bool, tmp_path: Path, capsys: Said) -> None:
    whole, thumbnail, exif = io.BytesIO(), io.BytesIO(), Image.Exif()
    GREY.resize((16, 16)).save(thumbnail, "JPEG")
    exif[0x010E] = thumbnail.getvalue()  # which has an end, too
    GREY.save(whole, "JPEG", progressive=progressive, exif=exif)
    content = whole.getvalue()
    for name, part in (("whole", content), ("cut", content[: len(content) * 3 // 4])):
        (tmp_path / f"{name}.jpg").write_bytes(part)
        assert call(tmp_path / f"{name}.jpg", tmp_path / f"{name}.png") == 0
        assert ("1 frame decoded with damage" in capsys.readouterr().err) == (name == "cut")
    assert not is_cut_off(content + b"\xff\xda of some other program"), "what follows the end"


def tiff(order: str, *entries: tuple[int, int]) -> bytes:
    """The header and the tags of a TIFF."""
    tags = b"".join(struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0) for tag, value in entries)
    magic = b"II" if order == "<" else b"MM"
    return magic + struct.pack(f"{order}HIH", 42, 8, len(entries)) + tags + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_that_would_come_out_black_is_told(order: str) -> None:
    assert black_tiff(tiff(order, (256, 64), (259, 5))) is None
    assert black_tiff(tiff(order, (256, 64), (259, 7))) == "JPEG in it"
    assert black_tiff(tiff(order, (259, 5), (322, 64))) == "tiles"
    assert black_tiff(tiff(order, (259, 7), (322, 64), (50706, 1))) is None, "a raw photograph, which decodes"
    assert black_tiff(tiff(order, (259, 5), (322, 64))[:20]) is None, "cut off, at which the decoder fails"


def test_a_tiff_that_would_come_out_black_is_refused(tmp_path: Path, capsys: Said) -> None:
    for number in (1, 2):
        GREY.convert("RGB").save(tmp_path / f"a_{number}.tif", compression="jpeg")
    for source in ("a_1.tif", "a_%d.tif"):
        for more, target in (([], "b.png" if source == "a_1.tif" else "b.mkv"), (["--preview"], "sheet.png")):
            assert call(*more, tmp_path / source, tmp_path / target) == 3
            assert "is a TIFF with JPEG in it" in one_line(capsys.readouterr().err)
    assert {path.name for path in tmp_path.iterdir()} == {"a_1.tif", "a_2.tif"}


@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
def test_a_photograph_whose_description_is_latin_is_coloured(kind: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "Großmutter".encode("latin-1")  # no UTF-8, at which PyAV fails
    GREY.save(tmp_path / f"a.{kind}", exif=exif)
    assert call(tmp_path / f"a.{kind}", tmp_path / "b.png") == 0
    with Image.open(tmp_path / "b.png") as made:
        assert made.getexif()[0x010E] == "Großmutter"
