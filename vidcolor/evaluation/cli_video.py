"""``vidcolor-eval video``: whether colours hold still in films whose colours are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vidcolor.cli_options import Finite
from vidcolor.errors import EXIT_DONE, EXIT_LOSSES, InputError
from vidcolor.evaluation.cli_common import (
    check_result,
    device_option,
    load_predictor,
    progress,
    render_size_option,
    reporting,
    say,
    show,
    weights_option,
)
from vidcolor.evaluation.options import FLOWS, VideoOptions
from vidcolor.options import TEMPORAL, Options

if TYPE_CHECKING:
    from vidcolor.evaluation.motion import FlowMethod
    from vidcolor.evaluation.video import ClipScores
    from vidcolor.stages.predict import Predictor

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command(short_help="how still the colours of films hold")
@click.argument("clips", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@weights_option
@click.option("--limit", default=150, show_default=True, type=click.IntRange(2), help="Frames of a clip.")
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the flicker that is added."
)
@render_size_option(96)
@click.option(
    "--temporal",
    default=Options.temporal,
    show_default=True,
    type=click.Choice(TEMPORAL),
    help="How ours is smoothed over time.",
)
@click.option(
    "--smoothing",
    default=Options.smoothing,
    show_default=True,
    type=Finite(0.0, 1.0),
    help="How long its memory is: 0 none, 1 the longest.",
)
@click.option("--every-frame", is_flag=True, help="Ours has the generator colour every frame.")
@device_option
@click.option(
    "--flow",
    default=FLOWS[0],
    show_default=True,
    type=click.Choice(FLOWS),
    help="Who judges motion; raft sees more, takes seconds a frame on a CPU and needs --metric-weights.",
)
@click.option(
    "--metric-weights",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder with raft-things.pth (the authors' checkpoint) or raft_large*.pth (torchvision's).",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
@click.option(
    "--results",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="JSON with scores, weights, clips and versions.",
)
@click.option("--strips", type=_FOLDER, metavar="DIR", help="PNGs of the middle column of pixels over time.")
@reporting
def video(as_json: bool, **given: Any) -> int:
    """Colour the films of CLIPS (files, folders) from their luma and measure whether the colours hold still.

    Each is coloured frame by frame, then smoothed as asked and, for comparison, by a plain average. Besides,
    the filter alone is given the true colours, clean (what it adds are ghosts) and with flicker. A clip lies
    in memory, some 10 MB a frame at render size 256. One that cannot be measured is named and left out (exit
    code 7).
    """
    from vidcolor.evaluation.clips import list_clips
    from vidcolor.evaluation.strips import make_folder

    options = VideoOptions(**given)
    paths = list_clips(list(options.clips))
    if not paths:
        raise InputError(f"{', '.join(map(str, options.clips))}: no film is there")
    if options.results is not None:
        check_result(options.results, b'"versions"')
    if options.strips is not None:
        make_folder(options.strips)
    return _score(options, paths, as_json)


def _score(options: VideoOptions, paths: list[Path], as_json: bool) -> int:
    from vidcolor.evaluation.results import write_results
    from vidcolor.evaluation.strips import save_strips
    from vidcolor.evaluation.video_report import as_dict
    from vidcolor.evaluation.video_results import results
    from vidcolor.evaluation.video_table import table

    generator, predictor = load_predictor(options.weights, options.device)
    method, judge = _judge(options, predictor)
    clips, damaged = [], []
    for path in progress(paths, len(paths), "clip"):
        try:
            clips.append(_measure(path, predictor, method, options))
        except InputError as error:
            say(f"{error}; left out")
            damaged.append(str(path))
    if not clips:
        raise InputError("no clip could be measured")
    described = {"weights": options.weights, "render_size": options.render_size, "temporal": options.temporal}
    described |= {"smoothing": options.smoothing, "every_frame": options.every_frame}
    described |= {"seed": options.seed, "flow": judge["name"]}
    try:
        if options.results is not None:
            write_results(options.results, results(clips, options, damaged, judge, generator))
        if options.strips is not None:
            save_strips(options.strips, clips)
    finally:  # what cannot be written loses no scores
        show(json.dumps(described | as_dict(clips)) if as_json else table(clips, options, judge["name"]))
    return EXIT_LOSSES if damaged else EXIT_DONE


def _measure(path: Path, predictor: Predictor, method: FlowMethod, options: VideoOptions) -> ClipScores:
    from vidcolor.evaluation.film import load_film, steps_of
    from vidcolor.evaluation.video import measure_clip

    film = load_film(path, predictor, options.render_size, options.limit)
    return measure_clip(film, steps_of(film, method), options)


def _judge(options: VideoOptions, predictor: Predictor) -> tuple[FlowMethod, dict[str, str]]:
    """The method that judges motion, and what the results say of it."""
    if options.flow == "raft":
        import torch

        from vidcolor.evaluation.raft import Raft

        raft = Raft(options.metric_weights, torch.device(str(predictor.device)))
        return raft, {"name": "raft", "file": raft.source, "sha256": raft.digest}
    from vidcolor.evaluation.motion import farneback

    return farneback, {"name": "farneback"}
