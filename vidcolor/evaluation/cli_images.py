"""``vidcolor-eval images``: colour photographs coloured again from their luma."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vidcolor.evaluation.cli_common import (
    Damaged,
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
from vidcolor.evaluation.options import ImageOptions

if TYPE_CHECKING:
    from vidcolor.checkpoint import Generator
    from vidcolor.evaluation.backbones import Backbones
    from vidcolor.evaluation.pictures import PictureList
    from vidcolor.evaluation.report import Report
    from vidcolor.evaluation.sheet import ContactSheet
    from vidcolor.stages.predict import Predictor

_GREY_CODES = 3
"""Largest difference of channels, in a picture without colours: JPEG leaves some."""
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(short_help="photographs coloured from their luma")
@click.argument("data", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@weights_option
@click.option("--limit", type=click.IntRange(1), help="Only that many pictures, chosen by --seed.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of every random choice.")
@render_size_option(32)
@device_option
@click.option(
    "--metric-weights",
    type=_FOLDER,
    metavar="DIR",
    help="Folder with inception*.pt (TorchScript: code, so name only a folder that you trust) or "
    "*inception*.pth (torch-fidelity's state dict), and alexnet*.pth (torchvision's state dict). "
    "Without it they are downloaded once, as their libraries do.",
)
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep what depends on the pictures alone, so that the next generator is scored sooner.",
)
@click.option(
    "--kid-subset",
    default=100,
    show_default=True,
    type=click.IntRange(2),
    help="Pictures of each of the subsets over which KID is averaged.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
@click.option("--record", is_flag=True, help="Write the scores into the metadata of the weights.")
@click.option(
    "--results",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="JSON with scores, weights, data and versions.",
)
@click.option(
    "--sheet",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PNG",
    help="Grey, ours and truth of the 6 best, the 6 worst and a random dozen, by PSNR gain over grey.",
)
@reporting
def images(as_json: bool, **given: Any) -> int:
    """Colour the photographs of DATA (folders, tars) from their luma and compare with the truth.

    Grey is the floor and truth the ceiling of every score. FID, KID and LPIPS see pictures of 299 × 299;
    compare them only at the same number of pictures. A damaged picture is named and left out (exit code 7).
    """
    from vidcolor.writing import check_writable

    options = ImageOptions(**given)
    if options.sheet is not None:
        check_result(options.sheet, b"\x89PNG", first=True)
    if options.results is not None:
        check_result(options.results, b'"versions"')
    generator, predictor = load_predictor(options.weights, options.device)
    if options.record:
        check_writable(generator.path)
    return _score(options, generator, predictor, as_json)


def _score(options: ImageOptions, generator: Generator, predictor: Predictor, as_json: bool) -> int:
    import torch

    from vidcolor.evaluation.backbones import load_backbones
    from vidcolor.evaluation.pictures import list_pictures
    from vidcolor.evaluation.sheet import ContactSheet
    from vidcolor.evaluation.table import table

    pictures = list_pictures(list(options.data), options.limit, options.seed)
    backbones = load_backbones(options.metric_weights, torch.device(str(predictor.device)), say)
    for name, why in backbones.missing.items():
        say(f"no {'FID and KID' if name == 'inception' else 'LPIPS'}: {why}")
    damaged, sheet = Damaged(), ContactSheet(options.seed)
    report = _measure(options, predictor, pictures, backbones, damaged, sheet)
    for note in report.notes:
        say(note)
    found = {"weights": options.weights, "render_size": options.render_size, **report.as_dict()}
    count = len(damaged.names)
    try:
        _write(options, report, pictures, damaged.names, backbones, generator, sheet)
    finally:
        show(json.dumps(found) if as_json else table(report, options, found=pictures.found, damaged=count))
    return damaged.exit_code


def _measure(
    options: ImageOptions,
    predictor: Predictor,
    pictures: PictureList,
    backbones: Backbones,
    damaged: Damaged,
    sheet: ContactSheet,
) -> Report:
    import numpy as np

    from vidcolor.errors import OutputError
    from vidcolor.evaluation.cache import cache_file, load_measures, save_measures
    from vidcolor.evaluation.collect import Collector
    from vidcolor.evaluation.images import colour_pictures
    from vidcolor.evaluation.report import build_report

    stored = cache_file(options.cache, pictures, backbones) if options.cache is not None else None
    known = load_measures(stored) if stored is not None else None
    collector = Collector(backbones, known)
    decoded = progress(pictures.decoded(damaged), len(pictures))
    colourless = 0
    for sample in colour_pictures(decoded, predictor, options.render_size):
        colourless += int(np.ptp(sample.truth, axis=-1).max()) <= _GREY_CODES
        sheet.add(sample, collector.add(sample))
    if colourless:
        say(
            f"pictures without colours: {colourless}; grey is the truth there, or within {_GREY_CODES} codes "
            "of it, with a PSNR of 42 to 100 dB"
        )
    ours, reference = collector.finish()
    if stored is not None and known is None:
        try:
            save_measures(stored, reference)
        except OutputError as error:  # it would have saved time: no reason to lose the scores
            say(f"{error}: what was measured is not kept for the next generator")
    return build_report(ours, reference, kid_subset=options.kid_subset, seed=options.seed)


def _write(
    options: ImageOptions,
    report: Report,
    pictures: PictureList,
    damaged: list[str],
    backbones: Backbones,
    generator: Generator,
    sheet: ContactSheet,
) -> None:
    from PIL import Image

    from vidcolor.checkpoint import record
    from vidcolor.evaluation.results import results, write_results
    from vidcolor.writing import write_whole

    try:
        if options.record:  # first, for the results name the file by its hash
            scores = json.dumps({"render_size": options.render_size, **report.as_dict()})
            record(generator.path, scores=scores)
            say(f"{generator.path}: the scores are recorded in it")
    finally:
        if options.results is not None:
            write_results(options.results, results(report, options, pictures, damaged, backbones, generator))
        if options.sheet is not None:
            drawn = Image.fromarray(sheet.draw())
            write_whole(options.sheet, lambda file: drawn.save(file, format="PNG"))
