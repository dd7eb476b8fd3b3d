"""The manifest of a job; jobs that go on by theirs, or do not, are in ``test_resume``."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch
from safetensors.numpy import save

from vidcolor._version import __version__
from vidcolor.errors import WeightsError
from vidcolor.machine import describe_machine
from vidcolor.manifest import (
    Manifest,
    describe_options,
    digest_weights,
    fingerprint,
    identify,
    identify_pipe,
)
from vidcolor.options import Options

TERMS = Manifest(
    source={"size": 5},
    options={"crf": None, "start": "1/3"},
    weights="0" * 64,
    machine={"engine": "torch", "batch size": 4},
    segment_frames=240,
    batch_limit=2,
    total=30,
)


@pytest.mark.parametrize(
    "damage", ["", "{", "[" * 100_000, "[]", "null", '{"sha256": "", "terms": "{}"}', "cut", "changed"]
)
@pytest.mark.parametrize("damaged", [0, 1])
def test_either_of_the_two_that_are_written_is_enough(damage: str, damaged: int, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    TERMS.write(path)
    both = sorted(tmp_path.iterdir())
    assert len(both) == 2
    whole = both[damaged].read_text()
    changed = {"cut": whole[:-9], "changed": whole.replace("240", "241")}.get(damage, damage)
    both[damaged].write_text(changed)
    assert Manifest.read(path) == TERMS
    both[1 - damaged].write_text(changed)
    assert Manifest.read(path) is None


def test_a_fingerprint_does_not_depend_on_the_order_of_terms() -> None:
    """Those of a job that goes on come from a file, in which they are sorted."""
    one, other = {"a": 1, "b": {"c": 1, "d": 2}}, {"b": {"d": 2, "c": 1}, "a": 1}
    assert fingerprint(one, one, "x") == fingerprint(other, other, "x")
    assert len({fingerprint(*terms) for terms in ((one, {}, "x"), ({}, one, "x"), (one, {}, "y"))}) == 3
    assert TERMS.fingerprint == replace(TERMS, machine={}, segment_frames=1, batch_limit=1).fingerprint


def test_options_are_described_as_json_holds_them() -> None:
    options = Options(start=Fraction(1, 3), encoder_options={"tune": "film"}, deinterlace=True)
    described = describe_options(options)
    assert json.loads(json.dumps(described)) == described
    assert (described["start"], described["encoder_options"]) == ("1/3", {"tune": "film"})
    how = describe_options(replace(options, overwrite=True, batch_size=3, device="cpu", precision="fp32"))
    assert how == described, "what changes nothing, or is recorded as what it came to, is left out"
    assert set(described) < set(asdict(options))


def test_the_machine_is_described_by_what_tells_in_the_last_digits() -> None:
    machine = describe_machine(torch.device("cpu"), "float32", "torch", 4)
    parts = ".".join(str(n) for n in av.library_versions["libavcodec"])
    versions = {"vidcolor": __version__, "torch": torch.__version__, "opencv": cv2.__version__}
    given = {"device": "cpu", "precision": "float32", "engine": "torch", "batch size": 4}
    assert machine == machine | versions | given | {"libavcodec": parts}
    assert machine["torch threads"] == torch.get_num_threads()
    assert "gpu" not in machine
    assert json.loads(json.dumps(machine)) == machine


def test_weights_are_known_by_all_but_their_scores(tmp_path: Path) -> None:
    def digest(value: float, metadata: dict[str, str]) -> str:
        path = tmp_path / "w.safetensors"
        path.write_bytes(save({"a": np.full(3, value, np.float32)}, metadata))
        return digest_weights(path)

    plain = digest(1.0, {"recipe": "x"})
    assert digest(1.0, {"recipe": "x", "scores": "17"}) == plain
    assert len({plain, digest(2.0, {"recipe": "x"}), digest(1.0, {"recipe": "y"})}) == 3
    (tmp_path / "other").write_bytes(b"12345678 none")
    assert len(digest_weights(tmp_path / "other")) == 64
    with pytest.raises(WeightsError, match=r"gone\.safetensors: cannot be read"):
        digest_weights(tmp_path / "gone.safetensors")


def test_an_image_sequence_is_known_by_names_sizes_and_times_of_change(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"{number:02d}.png").write_bytes(b"x")
    (tmp_path / "other.png").write_bytes(b"x")
    pattern, last = str(tmp_path / "%02d.png"), tmp_path / "02.png"
    known, changed = identify(pattern), last.stat().st_mtime_ns
    assert known["pictures"] == 2
    os.utime(last, ns=(changed, changed + 10**9))
    seen = [known, identify(pattern)]
    last.write_bytes(b"xx")
    os.utime(last, ns=(changed, changed))
    seen.append(identify(pattern))
    last.write_bytes(b"x")
    os.utime(last, ns=(changed, changed))
    assert identify(pattern) == known
    for path in (last, tmp_path / "01.png"):  # the same under other numbers
        path.rename(path.with_name(f"{int(path.stem) + 1:02d}.png"))
    seen.append(identify(pattern))
    assert len({str(one) for one in seen}) == 4


def test_a_pipe_is_known_by_its_format_its_tracks_and_its_first_frame() -> None:
    def known(**given: Any) -> str:
        about: dict[str, Any] = {"name": "matroska", "tracks": ["video", "audio"], "width": 64, "height": 48}
        about |= {"luma": 7} | given
        streams = [SimpleNamespace(type=kind, name="x") for kind in about["tracks"]]
        container: Any = SimpleNamespace(format=SimpleNamespace(name=about["name"]), streams=streams)
        video = SimpleNamespace(width=about["width"], height=about["height"])
        first: Any = SimpleNamespace(video=video, luma=np.full((4, 4), about["luma"], np.uint8))
        return json.dumps(identify_pipe(container, first))

    others = ({"name": "mov"}, {"tracks": ["video"]}, {"width": 32}, {"height": 32}, {"luma": 8})
    assert len({known(), *(known(**other) for other in others)}) == 1 + len(others)
