"""Generators for photographs, loaded once and computed by torch; and what films of one command share."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from media import make_film, planes_of, read_film
from PIL import Image

from vidcolor import predictors
from vidcolor.checkpoint import load_generator
from vidcolor.errors import WeightsError
from vidcolor.job import colorize
from vidcolor.networks import engines
from vidcolor.networks.engines import BY_NAME, Session, begin
from vidcolor.options import Options
from vidcolor.predictors import cached_predictor, make_predictor
from vidcolor.stages import predict

CPU = torch.device("cpu")


def photograph(path: Path) -> Path:
    Image.linear_gradient("L").resize((64, 48)).save(path)
    return path


def options(weights: str, **more: str) -> Options:
    return Options(render_size=32, device="cpu", precision="fp32", weights=weights, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_photographs_are_left_to_torch_unless_an_engine_is_asked_for(
    suffix: str, tmp_path: Path, weights: str
) -> None:
    for name in ("onnx", *BY_NAME):
        pytest.importorskip(name)
    source = photograph(tmp_path / f"grey.{suffix}")
    film = make_film(tmp_path / "film.mp4", frames=2)
    for engine in ("auto", *BY_NAME):
        made = colorize(source, tmp_path / f"{engine}.{suffix}", options(weights, engine=engine))
        assert made.engine.split()[0] == ("torch" if engine == "auto" else engine)
    assert colorize(film, tmp_path / "out.mp4", options(weights)).engine.split()[0] == "onnxruntime"


def test_photographs_share_a_generator(tmp_path: Path, weights: str) -> None:
    own = tmp_path / "own.safetensors"
    shutil.copy(weights, own)
    with mock.patch.object(predictors, "load_generator", side_effect=load_generator) as loaded:
        for number in range(3):
            source = photograph(tmp_path / f"{number}.png")
            colorize(source, tmp_path / f"out{number}.png", options(str(own)))
        assert loaded.call_count == 1
        os.utime(own, ns=(0, 0))  # as after it was written anew
        colorize(source, tmp_path / "again.png", options(str(own)))
        assert loaded.call_count == 2
        film = make_film(tmp_path / "film.mp4", frames=2)
        colorize(film, tmp_path / "film.mkv", options(str(own)))
        assert loaded.call_count == 3  # a film may change what it is given
    assert cached_predictor(own, CPU, "float32", "auto") is cached_predictor(own, CPU, "float32", "auto")
    assert cached_predictor(own, CPU, "bfloat16", "auto").precision == "bfloat16"
    with ThreadPoolExecutor(1) as other:  # which may be colouring another picture at the same time
        theirs = other.submit(cached_predictor, own, CPU, "float32", "auto").result()
    assert theirs is not cached_predictor(own, CPU, "float32", "auto")


@pytest.mark.parametrize("engine", list(BY_NAME))
def test_films_share_what_an_engine_has_made(engine: str, tmp_path: Path, weights: str) -> None:
    for name in ("onnx", engine):
        pytest.importorskip(name)
    own = tmp_path / "own.safetensors"
    shutil.copy(weights, own)
    film = make_film(tmp_path / "film.mp4", frames=2)
    made: list[int] = []

    def counted(*given: Any) -> Session:
        made.append(1)
        return begin(*given)

    def models_for(number: int) -> int:
        made.clear()
        colorize(film, tmp_path / f"out{number}.mkv", options(str(own), engine=engine))
        return len(made)

    with mock.patch.object(engines, "begin", counted), mock.patch.object(predict, "begin", counted):
        assert models_for(1) == 2, "a small one to try it, and that for the film's size"
        assert models_for(2) == models_for(3) == 0
        os.utime(own, ns=(0, 0))  # as after it was written anew
        assert models_for(4) == 2
    frames = [[plane.tobytes() for plane in planes_of(f)] for f in read_film(tmp_path / "out1.mkv")]
    again = [[plane.tobytes() for plane in planes_of(f)] for f in read_film(tmp_path / "out3.mkv")]
    assert frames == again


def test_weights_that_are_gone_since_they_were_found_are_named(tmp_path: Path, weights: str) -> None:
    own = tmp_path / "own.safetensors"
    for make in (make_predictor, cached_predictor):
        with pytest.raises(WeightsError, match="own"):
            make(own, CPU, torch.float32, "auto")
