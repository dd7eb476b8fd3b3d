"""Sources, cache, screening and sampling of training pictures."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import math
import os
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import av
import filelock  # noqa: F401 - before a test hides from it what it is made of
import numpy as np
import pytest
import torch
from av.video.reformatter import VideoReformatter
from media import flat_film, make_film, true_ab
from PIL import Image, ImageCms

from vidcolor.colorspace import ab_from_rgb
from vidcolor.errors import InputError, OutputError, UsageError
from vidcolor.matrices import BT2020
from vidcolor.training import cache as cache_module
from vidcolor.training.data import PhotoSet, load_photos
from vidcolor.training.sampling import _windows, background, sample_batch
from vidcolor.training.screening import ALIKE, GREY, SAME, TONED, Seen, colourless, print_of
from vidcolor.training.sources import decode_rgb, encoded_pictures
from vidcolor.training.validation import fixed_pictures, validate
from vidcolor.training.videos import film_frames


def photograph(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
    """Soft blotches of colour with edges, uint8 ``(h, w, 3)``."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
    return np.array(coarse.resize((width, height), Image.Resampling.BICUBIC))


def save(rgb: np.ndarray, path: Path) -> None:
    Image.fromarray(rgb).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "photos"
    (place / "deeper").mkdir(parents=True)
    for index in range(6):
        save(photograph(index), place / ("deeper" if index % 2 else ".") / f"{index}.png")
    return place


@pytest.fixture
def photos(folder: Path, tmp_path: Path) -> PhotoSet:
    return load_photos([folder], tmp_path / "cache", smallest=64)


# sources

UNIMPLEMENTED = b"DDS " + struct.pack(
    "<7I44x2I4s5I20x", 124, 0x1007, 4, 4, 0, 0, 0, 32, 4, b"????", 0, 0, 0, 0, 0
)
"""A picture at which Pillow raises NotImplementedError."""


def test_hidden_files_and_what_is_hidden_below_folders_are_left_out(folder: Path, tmp_path: Path) -> None:
    (folder / ".Trash" / "files").mkdir(parents=True)
    save(photograph(7), folder / ".Trash" / "files" / "7.png")
    save(photograph(8), folder / ".8.png")
    assert len(load_photos([folder], tmp_path / "cache", smallest=64)) == 6


def test_what_a_run_has_drawn_is_no_data(folder: Path, tmp_path: Path) -> None:
    run = folder / "deeper"
    for drawn in (run / "samples" / "step-000100.png", run / "samples" / "mine.png", run / "curves.png"):
        drawn.parent.mkdir(exist_ok=True)
        save(photograph(len(drawn.name)), drawn)
    assert len(load_photos([folder], tmp_path / "cache", smallest=64)) == 9
    (run / "metrics.jsonl").touch()
    names = [name for name, _ in load_photos([folder], tmp_path / "cache", smallest=64).listing]
    assert len(names) == 7 and "deeper/samples/mine.png" in names


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names there are Unicode")
def test_names_need_not_be_unicode(folder: Path, tmp_path: Path) -> None:
    (folder / os.fsdecode(b"caf\xe9")).mkdir()
    save(photograph(7), folder / os.fsdecode(b"caf\xe9/th\xe9.png"))
    photos = load_photos([folder], tmp_path / "cache", smallest=64)
    assert os.fsdecode(b"caf\xe9/th\xe9.png") in [name for name, _ in photos.listing]
    assert load_photos([folder], tmp_path / "cache", smallest=64).digest == photos.digest


def test_links_to_folders_are_followed_and_no_picture_comes_twice(folder: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    (linked / "own").mkdir(parents=True)
    (linked / "photos").symlink_to(folder)
    (linked / "own" / "again").symlink_to(linked)  # in circles
    names = [name for name, _ in load_photos([linked], tmp_path / "cache", smallest=64).listing]
    assert names == [
        f"photos/{name}" for name in ("0.png", "2.png", "4.png", *(f"deeper/{i}.png" for i in (1, 3, 5)))
    ]


def test_links_to_nothing_are_named(folder: Path, tmp_path: Path) -> None:
    (folder / "6.png").symlink_to("moved-away.png")
    (folder / "more").symlink_to(tmp_path / "not mounted", target_is_directory=True)
    (folder / ".hidden.png").symlink_to("moved-away.png")
    photos = load_photos([folder], tmp_path / "cache", smallest=64)
    assert photos.report.names == {"a link that leads nowhere": ["6.png", "more"]}
    assert len(photos) == 6
    assert len(load_photos([folder], tmp_path / "cache", smallest=64)) == 6


@pytest.mark.parametrize("named", [False, True])
def test_folders_that_cannot_be_listed_are_not_passed_over_in_silence(
    folder: Path, tmp_path: Path, named: bool
) -> None:
    closed = folder / "closed"
    closed.mkdir()
    save(photograph(50), closed / "50.png")
    scan = os.scandir

    def refusing(path: Any) -> Any:
        if os.path.realpath(path) == os.path.realpath(closed):
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
        return scan(path)

    with mock.patch("os.scandir", refusing):
        if named:
            with pytest.raises(InputError, match=r"closed: cannot be read \(Permission denied\)"):
                load_photos([folder, closed], tmp_path / "cache", smallest=64)
            return
        photos = load_photos([folder], tmp_path / "cache", smallest=64)
    assert photos.report.names == {"a folder that cannot be read (Permission denied)": ["closed"]}


def test_folders_that_may_be_listed_but_not_entered_are_no_fault_and_no_links(
    folder: Path, tmp_path: Path
) -> None:
    shut = folder / "shut"
    shut.mkdir()
    save(photograph(50), shut / "50.png")
    save(photograph(51), shut / "51.png")
    whole = Path.stat

    def refusing(path: Path, **given: Any) -> os.stat_result:
        if path.parent == shut:
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
        return whole(path, **given)

    with mock.patch.object(Path, "stat", refusing):
        photos = load_photos([folder], tmp_path / "cache", smallest=64)
    reason = "a file that cannot be looked at (Permission denied)"
    assert photos.report.names == {reason: ["shut/50.png", "shut/51.png"]}
    assert len(photos) == 6


def test_files_of_others_in_the_cache_folder_stay(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "film.mkv.part").touch()
    (tmp_path / "photos-0.rgb.part").touch()
    load_photos([folder], tmp_path, smallest=64)
    assert [path.name for path in tmp_path.glob("*.part")] == ["film.mkv.part"]


def test_a_file_that_is_no_tar_is_said_in_one_line(folder: Path, tmp_path: Path) -> None:
    (folder / "empty.tar").touch()
    with pytest.raises(InputError, match=r"empty\.tar: the tar is damaged \([^\n]*\)$"):
        load_photos([folder], tmp_path / "cache", smallest=64)


def test_what_is_of_a_kind_that_is_not_read_is_named(folder: Path, tmp_path: Path) -> None:
    others = ("a.gif", "b.HEIC", "c.zip", "d.tar.zst", "e.jxl", ".hidden.gif")
    for name in (*others, "notes.txt", "f.tga.json"):
        (folder / name).touch()
    with tarfile.open(folder / "inner.tar", "w") as tar:
        tar.add(folder / "0.png", "0.png")
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        tar.add(folder, "all")
    (folder / "inner.tar").unlink()
    calls: list[tuple[int, int | None]] = []
    sources = [folder, tmp_path / "all.tar"]
    photos = load_photos(sources, tmp_path / "cache", smallest=64, progress=lambda d, t: calls.append((d, t)))
    named = sorted(others[:-1])
    in_tar = [f"all/{name}" for name in (*named, "inner.tar")]
    names = photos.report.names["of a kind that is not read"]
    assert sorted(names) == sorted(named + in_tar) and names[:5] == named
    assert photos.report.left_out == {"of a kind that is not read": 11, SAME: 6}
    assert calls == [(d, 23) for d in range(1, 24)]
    assert [name for name, _ in encoded_pictures([folder])] == [name for name, _ in photos.listing]


def test_folders_tars_and_files_give_the_same_pictures(folder: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "photos.tar.gz", "w:gz") as tar:
        for path in sorted(p for p in folder.rglob("*.png")):
            tar.add(path, path.relative_to(folder))
    files = sorted(folder.rglob("*.png"))
    made = [
        load_photos(sources, tmp_path / str(number), smallest=64)
        for number, sources in enumerate(([folder], [tmp_path / "photos.tar.gz"], files, [tmp_path]))
    ]
    assert [len(p) for p in made] == [6, 6, 6, 6]
    assert made[0].listing == made[1].listing and made[0].digest == made[1].digest
    assert [content for _, content in made[2].listing] == [content for _, content in made[0].listing]
    assert made[3].report.left_out == {SAME: 6}, "the tar lies beside the folder"
    for one in range(6):
        assert np.array_equal(made[0].picture(one), photograph(int(made[0].name_of(one)[-5])))


def test_a_compressed_file_that_is_cut_off_at_its_beginning_is_said_in_one_line(
    folder: Path, tmp_path: Path
) -> None:
    with tarfile.open(tmp_path / "whole.tgz", "w:gz") as tar:
        tar.add(folder, "all")
    (tmp_path / "photos.gz").write_bytes((tmp_path / "whole.tgz").read_bytes()[:40])
    with pytest.raises(InputError, match=r"photos\.gz: cannot be read \([^\n]*\)$"):
        load_photos([tmp_path / "photos.gz"], tmp_path / "cache", smallest=32)
    with pytest.raises(InputError, match=r"photos\.gz: cannot be read \([^\n]*\)$"):
        list(encoded_pictures([tmp_path / "photos.gz"]))


@pytest.mark.parametrize(("suffix", "mode"), [(".txz", "w:xz"), (".tbz2", "w:bz2"), (".tbz", "w:bz2")])
def test_compressed_tars_in_folders_are_known_by_short_suffixes(
    suffix: str, mode: Any, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "tars").mkdir()
    with tarfile.open(tmp_path / "tars" / f"photos{suffix}", mode) as tar:
        tar.add(folder, "photos")
    assert len(load_photos([tmp_path / "tars"], tmp_path / "cache", smallest=64)) == 6


def test_the_listing_names_the_content(folder: Path, photos: PhotoSet) -> None:
    name, content = photos.listing[0]
    assert name == "0.png"
    assert content == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    lines = "".join(f"{content}  {name}\n" for name, content in photos.listing)
    assert photos.digest == hashlib.sha256(lines.encode()).hexdigest()


def test_a_name_of_two_lines_is_one_line_of_the_listing(folder: Path, tmp_path: Path) -> None:
    (folder / "0.png").rename(folder / "0\\a\nb.png")
    written = load_photos([folder], tmp_path / "cache", smallest=64).written_listing
    first = written.decode().splitlines()[0]
    assert first.startswith("\\") and first.endswith("  0\\\\a\\nb.png")
    assert len(written.splitlines()) == 6
    if shutil.which("sha256sum"):
        (folder / "listing").write_bytes(written)
        subprocess.run(["sha256sum", "--check", "--quiet", "listing"], cwd=folder, check=True)


def test_a_subset_has_a_listing_of_its_own(photos: PhotoSet) -> None:
    some = photos.subset([4, 1])
    assert len(some) == 2 and some.listing == (photos.listing[4], photos.listing[1])
    assert np.array_equal(some.picture(1), photos.picture(1))
    assert some.digest != photos.digest
    assert len(photos.subset([])) == 0


def test_a_source_that_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        load_photos([tmp_path / "nowhere"], tmp_path / "cache", smallest=64)


def test_a_named_file_that_is_nothing_usable_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture\n" * 100)
    with pytest.raises(InputError, match=r"notes\.txt: not a video"):
        load_photos([tmp_path / "notes.txt"], tmp_path / "cache", smallest=64)


@pytest.mark.parametrize("size", [-1, -512, -1024])
def test_a_tar_with_a_negative_size_does_not_go_round_for_ever(
    folder: Path, tmp_path: Path, size: int
) -> None:
    path = tmp_path / "photos.tar"
    with tarfile.open(path, "w") as tar:
        for number in range(2):
            tar.add(folder / "0.png", f"{number}.png")
    content = bytearray(path.read_bytes())
    begin = content.index(b"1.png\0")
    header = content[begin : begin + 512]
    header[124:136], header[148:156] = size.to_bytes(12, "big", signed=True), b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    content[begin : begin + 512] = header
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"photos\.tar: the tar is damaged"):
        load_photos([path], tmp_path / "cache", smallest=64)


@pytest.mark.parametrize(
    ("kind", "damage"),
    [("", "cut off"), (".gz", "cut off"), (".xz", "cut off"), (".gz", "overwritten"), (".xz", "overwritten")],
)
def test_a_damaged_tar_is_an_input_error(folder: Path, tmp_path: Path, kind: str, damage: str) -> None:
    path = tmp_path / f"photos.tar{kind}"
    with tarfile.open(path, f"w:{kind[1:]}") as tar:  # type: ignore[call-overload]
        tar.add(folder, "photos")
    whole = path.read_bytes()
    middle = len(whole) // 2 + 100
    path.write_bytes(whole[:middle] + (b"" if damage == "cut off" else bytes(3000) + whole[middle + 3000 :]))
    with pytest.raises(InputError, match=r"photos\.tar.*: the tar is damaged"):
        load_photos([path], tmp_path / "cache", smallest=64)
    assert not list((tmp_path / "cache").glob("*.json"))


def test_large_pictures_are_reduced(folder: Path, tmp_path: Path) -> None:
    save(photograph(9, 400, 800), folder / "large.jpg")
    photos = load_photos([folder], tmp_path / "cache", smallest=64)
    shapes = {photos.name_of(i): photos.picture(i).shape for i in range(len(photos))}
    assert shapes["large.jpg"] == (320, 640, 3) and shapes["0.png"] == (96, 128, 3)


def test_a_picture_that_lies_right_is_not_copied_on_the_way() -> None:
    content = io.BytesIO()
    Image.fromarray(photograph(1)).save(content, "PNG")
    with mock.patch.object(Image.Image, "copy", side_effect=AssertionError("a copy of a large picture")):
        rgb = decode_rgb(content.getvalue(), 320)
    assert rgb is not None and (rgb == photograph(1)).all()


def test_transparent_parts_become_white_and_exif_turns_the_picture() -> None:
    clear = np.zeros((20, 30, 4), np.uint8)
    clear[:, :15] = (255, 0, 0, 255)
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    file = io.BytesIO()
    Image.fromarray(clear).save(file, "png", exif=exif)
    rgb = decode_rgb(file.getvalue())
    assert rgb is not None and rgb.shape == (30, 20, 3)
    assert rgb[0, 0].tolist() == [255, 0, 0] and rgb[-1, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("format", ["PNG", "WebP", "JPEG"])
def test_damaged_exif_turns_nothing(format: str) -> None:
    file = io.BytesIO()
    Image.fromarray(photograph(1)).save(file, format, exif=b"Exif\0\0no TIFF", lossless=True, quality=95)
    rgb = decode_rgb(file.getvalue())
    assert rgb is not None and np.abs(rgb.astype(int) - photograph(1)).mean() < 8
    assert decode_rgb(file.getvalue()[:-1000]) is None, "and hides no damage to the picture"


def test_colours_of_a_profile_become_srgb_s() -> None:
    grey_gamma = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    shown = photograph(1)
    file = io.BytesIO()
    Image.fromarray(shown).save(file, "png", icc_profile=grey_gamma)
    same = decode_rgb(file.getvalue())
    assert same is not None and np.abs(same.astype(int) - shown).max() <= 1
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()  # fits no R'G'B'
    file = io.BytesIO()
    Image.fromarray(shown).save(file, "png", icc_profile=lab)
    assert np.array_equal(decode_rgb(file.getvalue()), shown)  # type: ignore[arg-type]
    with mock.patch("vidcolor.training.sources.ImageCms.profileToProfile") as convert:
        convert.return_value = Image.new("RGB", (4, 4), (1, 2, 3))
        turned = decode_rgb(file.getvalue())
    assert turned is not None and turned[0, 0].tolist() == [1, 2, 3]


# screening


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_grey_of_16_bits_is_what_it_is_in_8(format: str) -> None:
    grey = photograph(1)[..., 0]
    file = io.BytesIO()
    Image.fromarray(grey.astype(np.uint16) * 257).save(file, format=format)
    rgb = decode_rgb(file.getvalue(), 96)
    assert rgb is not None
    assert np.array_equal(rgb, np.repeat(grey[..., None], 3, -1))


def test_unusable_pictures_are_left_out_counted_and_named(folder: Path, tmp_path: Path) -> None:
    save(photograph(9, 20, 30), folder / "small.jpg")
    save(np.repeat(photograph(10)[..., :1], 3, 2), folder / "grey.jpg")
    (folder / "damaged.jpg").write_bytes(b"\xff\xd8 no picture")
    (folder / "again.png").write_bytes((folder / "0.png").read_bytes())
    save(photograph(2, 90, 120), folder / "same but smaller.jpg")
    (folder / "notes.txt").write_text("not a picture at all")
    (folder / "broken.mp4").write_text("not a film at all")
    (folder / "odd.png").write_bytes(UNIMPLEMENTED)
    photos = load_photos([folder], tmp_path / "cache", smallest=64)
    assert len(photos) == photos.report.kept == 6
    names = photos.report.names
    assert names["smaller than the crop of 64 px"] == ["small.jpg"]
    assert names[GREY] == ["grey.jpg"] and names["damaged"] == ["damaged.jpg", "odd.png"]
    assert names[SAME] == ["again.png"] and names[ALIKE] == ["same but smaller.jpg"]
    assert sum(photos.report.left_out.values()) == 7
    assert photos.report.summary().startswith("2 damaged, 1 ")
    assert any(line == "damaged: damaged.jpg, odd.png" for line in photos.report.lines())


def test_of_pictures_that_are_alike_the_larger_is_kept(folder: Path, tmp_path: Path) -> None:
    small = tmp_path / "a"
    small.mkdir()
    for index in range(6):  # two of them too small for the crop, all read before their originals
        save(photograph(index, *((60, 80) if index < 2 else (80, 106))), small / f"{index} small.png")
    (tmp_path / "again").mkdir()
    shutil.copy(small / "5 small.png", tmp_path / "again")
    photos = load_photos([small, folder, tmp_path / "again"], tmp_path / "cache", smallest=64)
    assert sorted(Path(name).name for name, _ in photos.listing) == [f"{index}.png" for index in range(6)]
    assert all(photos.picture(i).shape == (96, 128, 3) for i in range(6))
    assert photos.report.left_out == {ALIKE: 6, SAME: 1} and photos.report.kept == 6
    assert photos.report.names[ALIKE] == [f"{index} small.png" for index in range(6)]
    again = load_photos([small, folder, tmp_path / "again"], tmp_path / "cache", smallest=64)
    assert again.digest == photos.digest and again.report == photos.report


def test_a_picture_takes_the_place_of_none_that_is_nearly_as_large() -> None:
    seen = Seen()
    sizes = {"first": 100, "hardly larger": 110, "larger": 111, "in between": 105, "largest": 200}
    reasons = {name: seen.reason(print_of(photograph(1, s, s), name)) for name, s in sizes.items()}
    assert [name for name, reason in reasons.items() if reason is None] == ["first", "larger", "largest"]
    assert seen.superseded == {0, 1}


def test_too_few_pictures_are_an_input_error_that_says_why(folder: Path, tmp_path: Path) -> None:
    for index in range(3):
        (folder / f"{2 * index}.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"only 3 usable colour pictures, at least 4 .* left out: 3 damaged"):
        load_photos([folder], tmp_path / "cache", smallest=64)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no usable colour picture"):
        load_photos([tmp_path / "empty"], tmp_path / "cache", smallest=64)


@pytest.mark.parametrize("tone", [(1.0, 0.85, 0.6), (0.6, 0.8, 1.0), (1.0, 1.0, 1.0)])
def test_toned_and_grey_pictures_are_seen_through_compression(tone: tuple[float, ...]) -> None:
    grey = photograph(3)[..., 1:2].astype(np.float32)
    file = io.BytesIO()
    Image.fromarray((grey * np.array(tone)).astype(np.uint8)).save(file, "jpeg", quality=60)
    rgb = decode_rgb(file.getvalue())
    assert rgb is not None
    assert colourless(rgb) == (GREY if min(tone) == 1.0 else TONED)


def test_a_sunset_and_a_small_lamp_are_colour() -> None:
    rows = np.linspace(0.0, 1.0, 90)[:, None, None]
    sunset = np.clip((1 - rows) * [60, 60, 140] + rows * [255, 150, 40], 0, 255) * np.ones((1, 120, 1))
    assert colourless(sunset.astype(np.uint8)) is None
    for colour in ((220, 30, 30), (130, 90, 90)):
        lamp = np.repeat(photograph(3)[..., :1], 3, 2)
        lamp[30:52, 30:52] = colour
        assert colourless(lamp) is None


def test_flat_pictures_of_other_colours_are_not_alike() -> None:
    seen = Seen()
    for number, colour in enumerate(((200, 30, 30), (30, 200, 30), (30, 30, 200))):
        assert seen.reason(print_of(np.full((64, 64, 3), colour, np.uint8), str(number))) is None
    assert seen.reason(print_of(np.full((64, 64, 3), (31, 30, 200), np.uint8), "new")) == ALIKE


def test_thousands_of_pictures_are_told_apart_quickly() -> None:
    seen, rng = Seen(), np.random.default_rng(1)
    thumbs = rng.integers(0, 256, (3000, 8, 9, 3), np.uint8)
    started = time.process_time()
    assert [seen.reason(print_of(t, str(i))) for i, t in enumerate(thumbs)] == [None] * 3000
    assert time.process_time() - started < 3.0
    assert seen.reason(print_of(thumbs[1234], "new")) == ALIKE


# cache


def stamps(place: Path) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in place.glob("photos-*")}


def test_the_cache_is_made_once_whatever_the_crop(folder: Path, tmp_path: Path, photos: PhotoSet) -> None:
    made = stamps(tmp_path / "cache")
    for smallest in (64, 90):
        again = load_photos([folder], tmp_path / "cache", smallest=smallest)
        assert np.array_equal(again.picture(3), photos.picture(3))
    assert stamps(tmp_path / "cache") == made


def test_changed_sources_are_decoded_again(folder: Path, tmp_path: Path, photos: PhotoSet) -> None:
    save(photograph(20), folder / "0.png")
    changed = load_photos([folder], tmp_path / "cache", smallest=64)
    assert changed.digest != photos.digest
    assert np.array_equal(changed.picture(0), photograph(20))
    assert np.array_equal(photos.picture(0), photograph(0)), "what is open stays as it was"
    (folder / "0.png").unlink()
    assert len(load_photos([folder], tmp_path / "cache", smallest=64)) == 5
    assert len(stamps(tmp_path / "cache")) == 2, "what is out of date is gone"


def test_what_another_run_has_mapped_need_not_be_taken_away(
    folder: Path, tmp_path: Path, photos: PhotoSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped, unlink, replace = next((tmp_path / "cache").glob("*.rgb")), Path.unlink, os.replace

    def refuse(path: Any) -> None:  # as Windows does
        if Path(path) == mapped:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", lambda path, **more: (refuse(path), unlink(path, **more)))
    monkeypatch.setattr(os, "replace", lambda old, new: (refuse(new), replace(old, new)))
    os.utime(folder / "0.png", ns=(0, 0))
    assert load_photos([folder], tmp_path / "cache", smallest=64).digest == photos.digest
    save(photograph(20), folder / "0.png")
    changed = load_photos([folder], tmp_path / "cache", smallest=64)
    assert np.array_equal(changed.picture(0), photograph(20))
    assert mapped.exists() and not list((tmp_path / "cache").glob("*.part"))
    monkeypatch.undo()
    os.utime(folder / "0.png", ns=(0, 0))
    load_photos([folder], tmp_path / "cache", smallest=64)
    assert not mapped.exists()


def test_sources_share_a_folder(folder: Path, tmp_path: Path, photos: PhotoSet) -> None:
    other = load_photos([folder / "deeper", folder], tmp_path / "cache", smallest=64)
    assert other.digest != photos.digest
    assert load_photos([folder], tmp_path / "cache", smallest=64).digest == photos.digest
    assert len(stamps(tmp_path / "cache")) == 4


@pytest.mark.parametrize(
    "changed",
    [{"left_out": 1}, {"names": ["a"]}, {"superseded": [6]}, {"superseded": [-1]}, {"superseded": 1}],
)
def test_a_damaged_index_is_no_cache(
    folder: Path, tmp_path: Path, photos: PhotoSet, changed: dict[str, Any]
) -> None:
    cache = tmp_path / "cache"
    load_photos([folder], cache, smallest=64)
    (index,) = cache.glob("*.json")
    index.write_text(json.dumps(json.loads(index.read_text()) | changed))
    again = load_photos([folder], cache, smallest=64)
    assert again.digest == photos.digest and again.report == photos.report


def test_an_index_without_whole_pixels_is_no_cache(folder: Path, tmp_path: Path, photos: PhotoSet) -> None:
    pixels = next((tmp_path / "cache").glob("*.rgb"))
    whole = pixels.read_bytes()
    pixels.unlink()
    pixels.write_bytes(whole[:-1])
    load_photos([folder], tmp_path / "cache", smallest=64)
    assert pixels.read_bytes() == whole


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_build_leaves_no_cache_and_the_next_one_is_right(folder: Path, tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from vidcolor.training.data import load_photos\n"
        "def stop(done, total):\n"
        "    if done == 4: os.kill(os.getpid(), signal.SIGKILL)\n"
        "load_photos([Path(sys.argv[1])], Path(sys.argv[2]), smallest=64, progress=stop)\n"
    )
    command = [sys.executable, "-c", code, str(folder), str(tmp_path / "cache")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    left = {p.suffix for p in (tmp_path / "cache").iterdir()}
    assert ".part" in left and ".json" not in left
    photos = load_photos([folder], tmp_path / "cache", smallest=64)
    assert photos.digest == load_photos([folder], tmp_path / "fresh", smallest=64).digest
    assert np.array_equal(photos.picture(5), photograph(5))
    assert not list((tmp_path / "cache").glob("*.part"))


def test_an_interrupted_build_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int | None) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_photos([folder], tmp_path / "cache", smallest=64, progress=stop)
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["lock"]


@pytest.mark.parametrize("posix", [True, False])
def test_runs_that_start_together_decode_once(
    folder: Path, tmp_path: Path, posix: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not posix:
        monkeypatch.setitem(sys.modules, "fcntl", None)
    calls: list[int] = []
    found: list[str] = []

    def run() -> None:
        made = load_photos([folder], tmp_path / "cache", smallest=64, progress=lambda d, t: calls.append(d))
        found.append(made.digest)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1 and len(found) == 3
    assert sorted(calls) == [1, 2, 3, 4, 5, 6]


def test_progress_knows_the_total_where_it_is_cheap(folder: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    load_photos([folder], tmp_path / "cache", smallest=64, progress=lambda d, t: calls.append((d, t)))
    assert calls == [(d, 6) for d in range(1, 7)]


def test_pixels_too_large_for_a_file_want_no_room(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond ``ulimit -f``, and on file systems of small files, however much is free."""

    def limited(out: Any) -> None:
        raise OSError(errno.EFBIG, "File too large")

    monkeypatch.setattr(cache_module, "_flush", limited)
    with pytest.raises(OutputError, match=r"cache: cannot be written \(File too large\)$"):
        load_photos([folder], tmp_path / "cache", smallest=64)


def test_a_full_disk_says_how_much_is_needed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(out: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache_module, "_flush", full)
    with pytest.raises(OutputError, match=r"no room for the decoded pictures: about \d+ MB are needed"):
        load_photos([folder], tmp_path / "cache", smallest=64)
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["lock"]


def test_a_cache_that_cannot_be_made_is_an_output_error(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file: cannot be written"):
        load_photos([folder], tmp_path / "file", smallest=64)


def test_the_index_is_plain_json(tmp_path: Path, photos: PhotoSet) -> None:
    stored = json.loads(next((tmp_path / "cache").glob("*.json")).read_text())
    name, content, height, width = stored["pictures"][0]
    assert (name, content) == photos.listing[0] and (height, width) == (96, 128)


# films


def colour_film(path: Path, shots: list[tuple[int, int]], rate: int = 25) -> Path:
    """Shots of ``(seed, frames)``: a photograph that moves slowly."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=rate, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for seed, count in shots:
            wide = photograph(seed, 96, 160)
            for number in range(count):
                at = number * 30 // count
                part = np.ascontiguousarray(wide[:, at : at + 128])
                out.mux(stream.encode(av.VideoFrame.from_ndarray(part, "rgb24")))
        out.mux(stream.encode(None))
    return path


def test_films_give_a_few_frames_of_each_shot(tmp_path: Path) -> None:
    film = colour_film(tmp_path / "film.mp4", [(1, 60), (2, 10), (3, 100)])
    frames = list(film_frames(film, name="films/film.mp4", largest=320))
    times = [Fraction(name.split("@")[1].rstrip("s")) for name, _ in frames]
    assert {name.split("@")[0] for name, _ in frames} == {"films/film.mp4"}
    cuts = [Fraction(60, 25), Fraction(70, 25), Fraction(170, 25)]
    counts = [sum(a <= t < b for t in times) for a, b in zip([Fraction(0), *cuts], cuts, strict=False)]
    assert counts == [2, 1, 2]
    assert times[1] - times[0] >= 1
    first = frames[0][1].astype(int)
    assert first.shape == (96, 128, 3)
    assert np.abs(first - photograph(1, 96, 160)[:, 2:130]).mean() < 8, "colours are right"


def test_cuts_are_looked_for_with_one_reformatter(tmp_path: Path) -> None:
    """To set one up, threads and all, takes five times as long as to use it."""
    film = flat_film(tmp_path / "film.mkv", (120, 90, 160), 1, frames=12)
    used: list[int] = []

    class Counted:
        own = VideoReformatter

        def __init__(self) -> None:
            self._true = self.own()

        def reformat(self, *args: Any, **kwargs: Any) -> av.VideoFrame:
            used.append(id(self))
            return self._true.reformat(*args, **kwargs)

    with mock.patch("av.video.reformatter.VideoReformatter", Counted):
        assert list(film_frames(film, name="film.mkv", largest=320))
    assert len(used) == 12 and len(set(used)) == 1


def test_a_film_with_wide_primaries_keeps_its_colours(tmp_path: Path) -> None:
    codes = (120, 105, 148)
    film = flat_film(tmp_path / "film.mkv", codes, BT2020.code)
    [(_, rgb)] = film_frames(film, name="film.mkv", largest=320)
    ab = ab_from_rgb(torch.from_numpy(rgb).permute(2, 0, 1)[None] / 255.0).mean((0, 2, 3))
    assert np.allclose(ab.numpy(), true_ab(codes, BT2020), atol=1.0)


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_films_are_left_out_by_name(transfer: int, folder: Path, tmp_path: Path) -> None:
    film = make_film(folder / "hdr.mkv", frames=3, color_trc=transfer)
    photos = load_photos([folder], tmp_path / "cache", smallest=32)
    assert any("HDR" in reason and "hdr.mkv" in names for reason, names in photos.report.names.items())
    with pytest.raises(InputError, match="HDR"):
        load_photos([film], tmp_path / "other", smallest=32)


@pytest.mark.parametrize("name", ["vts_01_1.VOB", "tape.mxf", "phone.3gp", "camera.dv"])
def test_films_of_rarer_containers_are_found_in_folders(folder: Path, tmp_path: Path, name: str) -> None:
    colour_film(tmp_path / "made.mp4", [(40, 10)]).rename(folder / name)  # they are known by what they hold
    photos = load_photos([folder], tmp_path / "cache", smallest=64)
    assert [listed for listed, _ in photos.listing if listed.startswith(f"{name}@")]


@pytest.mark.parametrize("name", ["a.jfif", "b.JPE"])
def test_jpegs_of_rarer_names_are_found_in_folders(folder: Path, tmp_path: Path, name: str) -> None:
    Image.fromarray(photograph(40)).save(folder / name, "JPEG", quality=95)
    assert name in [listed for listed, _ in load_photos([folder], tmp_path / "cache", smallest=64).listing]


def test_films_and_pictures_mix(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidcolor.training.data.LARGEST_PX", 80)
    film = colour_film(tmp_path / "film.mp4", [(11, 50), (12, 50)])
    (folder / "deeper" / "film.mp4").symlink_to(colour_film(tmp_path / "other.mp4", [(13, 50)]))
    photos = load_photos([folder, film], tmp_path / "cache", smallest=64)
    assert len(photos) >= 8
    films = [(number, name.split("@")[0]) for number, (name, _) in enumerate(photos.listing) if "@" in name]
    assert {name for _, name in films} == {"deeper/film.mp4", "film.mp4"}
    assert {photos.picture(i).shape[0] for i, _ in films} == {80}
    again = load_photos([folder, film], tmp_path / "other", smallest=64)
    assert again.digest == photos.digest


def test_a_film_of_which_nothing_decodes_is_named(folder: Path, tmp_path: Path) -> None:
    film = colour_film(tmp_path / "dead.mp4", [(11, 50)])
    content = bytearray(film.read_bytes())
    begin, end = content.index(b"mdat") + 4, content.index(b"moov")
    content[begin:end] = bytes(end - begin)
    film.write_bytes(content)
    with pytest.raises(InputError, match=r"dead\.mp4: no frame of it decodes"):
        load_photos([folder, film], tmp_path / "cache", smallest=64)
    shutil.copy(film, folder / "dead.mp4")
    photos = load_photos([folder], tmp_path / "cache", smallest=64)
    assert any("dead.mp4" in line and "no frame of it decodes" in line for line in photos.report.lines())


def test_a_playlist_is_no_film(folder: Path, tmp_path: Path) -> None:
    colour_film(tmp_path / "film.mp4", [(11, 30)])
    (tmp_path / "evil.mp4").write_text("ffconcat version 1.0\nfile film.mp4\n")
    with pytest.raises(InputError, match="a playlist that names other files"):
        load_photos([folder, tmp_path / "evil.mp4"], tmp_path / "cache", smallest=64)


def test_training_on_pictures_needs_no_video_library(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from vidcolor.training.data import load_photos\n"
        "from vidcolor.training.sampling import sample_batch\n"
        "photos = load_photos([Path(sys.argv[1])], Path(sys.argv[2]), smallest=64)\n"
        "sample_batch(photos, step=0, size=2, crop=64, seed=1)\n"
        "assert not {'av', 'cv2'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(folder), str(tmp_path / "cache")], check=True)


# sampling


def batch(photos: PhotoSet, step: int, **more: Any) -> torch.Tensor:
    return sample_batch(photos, **({"step": step, "size": 8, "crop": 64, "seed": 1} | more))


def test_batches_depend_on_seed_and_step_alone(photos: PhotoSet) -> None:
    first = batch(photos, 3)
    assert first.shape == (8, 3, 64, 64) and first.dtype == torch.float32
    assert 0 <= first.min() < first.max() <= 1
    batch(photos, 40)
    assert torch.equal(first, batch(photos, 3))
    assert not torch.equal(first, batch(photos, 4))
    assert not torch.equal(first, batch(photos, 3, seed=2))


def test_ranks_together_draw_what_one_process_draws(photos: PhotoSet) -> None:
    parts = [batch(photos, 5, rank=rank, world=4) for rank in range(4)]
    assert torch.equal(torch.cat(parts), batch(photos, 5))


def test_an_epoch_shows_every_picture_once(folder: Path, tmp_path: Path) -> None:
    for index in range(6):
        save(np.full((64, 64, 3), (20 + 40 * index, 40, 200 - 30 * index), np.uint8), folder / f"{index}.png")
    for path in (folder / "deeper").iterdir():
        path.unlink()
    photos = load_photos([folder], tmp_path / "cache", smallest=64)
    shades = [batch(photos, step, size=2)[:, 0, 0, 0] * 255 for step in range(6)]
    epochs = torch.cat(shades).round().view(2, 6)
    assert not torch.equal(*epochs)
    for epoch in epochs:
        assert sorted(epoch.tolist()) == [20, 60, 100, 140, 180, 220]


def test_a_batch_divides_by_the_processes(photos: PhotoSet) -> None:
    with pytest.raises(UsageError, match="3 processes"):
        batch(photos, 1, world=3)


@pytest.mark.parametrize(("crop", "low", "high"), [(32, 32, 96), (64, 64, 96), (90, 72, 96), (112, 90, 96)])
def test_windows_vary_in_size_also_where_pictures_are_hardly_larger_than_crops(
    photos: PhotoSet, crop: int, low: int, high: int
) -> None:
    windows = [w for step in range(40) for w in _windows(photos, 8 * step, 0, 8, crop, (1, step))]
    sides = [math.sqrt(w.height * w.width) for w in windows]
    assert low <= min(sides) < low * 1.06 and high / 1.06 < max(sides) <= high * 1.06
    for w in windows:
        _, height, width = photos.table[w.index]
        assert low <= w.height <= height - w.top and low <= w.width <= width - w.left


def test_windows_lie_everywhere_and_are_tall_and_wide_and_mirrored_alike(photos: PhotoSet) -> None:
    windows = [w for step in range(40) for w in _windows(photos, 8 * step, 0, 8, 32, (1, step))]
    spare = [photos.table[w.index][1:] - (w.height, w.width) for w in windows]
    places = [np.array((w.top, w.left)) / s for w, s in zip(windows, spare, strict=True) if s.min() > 9]
    assert np.mean(places, 0) == pytest.approx(0.5, abs=0.1)
    assert np.min(places, 0).max() < 0.05 and np.max(places, 0).tolist() == [1.0, 1.0]
    assert np.mean([w.height > w.width for w in windows]) == pytest.approx(0.5, abs=0.1)
    assert np.mean([w.mirrored for w in windows]) == pytest.approx(0.5, abs=0.1)


def test_pictures_are_not_enlarged_by_more_than_a_quarter(photos: PhotoSet) -> None:
    assert batch(photos, 0, crop=112).shape == (8, 3, 112, 112)
    with pytest.raises(InputError, match=r"128x96 px is too small for crops of 128 px"):
        batch(photos, 0, crop=128)


@pytest.mark.parametrize("crop", [32, 64, 112])
def test_crops_made_on_a_device_are_the_same_to_two_codes(photos: PhotoSet, crop: int) -> None:
    resident = photos.on("cpu")
    for step in range(4):
        difference = batch(resident, step, crop=crop) - batch(photos, step, crop=crop)
        assert difference.abs().max() < 2 / 255


def test_a_run_is_judged_on_central_squares_from_the_first_picture_to_the_last(photos: PhotoSet) -> None:
    squares = np.stack([photos.picture(index)[:, 16:112] for index in (0, 2, 5)])
    found = fixed_pictures(photos, 3, 96).permute(0, 2, 3, 1) * 255  # (N, 3, h, w) to (N, h, w, 3)
    assert np.array_equal(found.round().byte().numpy(), squares)
    assert fixed_pictures(photos, 99, 32).shape == (6, 3, 32, 32)


class Plain(torch.nn.Module):
    """The same ab everywhere, at half size."""

    def __init__(self, ab: torch.Tensor) -> None:
        super().__init__()
        self.ab = ab

    def forward(self, lightness: torch.Tensor) -> torch.Tensor:
        count, _, height, width = lightness.shape
        return self.ab.view(1, 2, 1, 1).expand(count, 2, height // 2, width // 2)


def test_a_generator_is_judged_by_its_distance_from_the_truth() -> None:
    pictures = torch.tensor([0.6, 0.4, 0.3]).view(1, 3, 1, 1).expand(10, 3, 16, 16)
    true = ab_from_rgb(pictures)[0, :, 0, 0]
    found = []
    for ab in (true, torch.zeros(2), -true):
        network: Any = Plain(ab)
        result, shown = validate(network, None, pictures, torch.device("cpu"))
        found.append(result)
        assert shown.shape == (3 * 16, 8 * 16, 3)
    assert [r.colourfulness for r in found] == pytest.approx([1.0, 0.0, 1.0], abs=1e-4)
    chroma = float(true.norm())
    assert [r.score for r in found] == pytest.approx([0.0, chroma, 2 * chroma], abs=1e-3)
    assert found[0].psnr > 35 > 25 > found[1].psnr == found[1].grey_psnr == found[0].grey_psnr > found[2].psnr
    error = float(np.mean((np.asarray(shown[:16], np.float32) - 255 * np.array([0.6, 0.4, 0.3])) ** 2))
    assert found[1].psnr == pytest.approx(10 * math.log10(255**2 / error), abs=0.1)


def test_background_makes_batches_ahead_and_in_order() -> None:
    made: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(20):
            made.append(number)
            yield number

    with background(numbers(), depth=2) as ready:
        assert next(ready) == 0
        time.sleep(0.2)
        assert len(made) <= 4, "no more than two wait, and one is in the maker's hand"
        assert list(ready) == list(range(1, 20))
    assert threading.active_count() == 1 or "batches" not in {t.name for t in threading.enumerate()}


def test_background_hands_the_maker_s_exception_on() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise InputError("the disk is gone")

    with pytest.raises(InputError, match="the disk is gone"), background(broken()) as ready:
        assert next(ready) == 1
        next(ready)


def test_background_ends_when_the_caller_leaves() -> None:
    def endless() -> Iterator[int]:
        while True:
            yield 0

    with pytest.raises(KeyError), background(endless()) as ready:
        next(ready)
        raise KeyError
    with background(endless()) as ready:
        next(ready)
    assert "batches" not in {t.name for t in threading.enumerate()}
