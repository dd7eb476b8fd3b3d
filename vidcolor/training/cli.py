"""``vidcolor-train``: trains a generator of the family on pictures and films."""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from vidcolor.cli_options import CONTEXT, Finite, OneLineCommand
from vidcolor.cli_process import log_all_as, printable
from vidcolor.errors import EXIT_BUG, UsageError, VidcolorError, fault, first_line
from vidcolor.options import PRECISIONS

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_PATH = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_COUNT = click.IntRange(min=1)
_PRECISION = click.Choice(PRECISIONS)
_RECIPES = ["default", "pix2pix", "resnet", "pix2pixhd", "cyclegan"]


def _positive(default: float | None = None) -> dict[str, Any]:
    return {"type": Finite(min=0.0, min_open=True), "default": default, "show_default": True}


@click.command(cls=OneLineCommand, context_settings=CONTEXT, short_help="train a generator of colours")
@click.argument("data", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--out", required=True, type=_PATH, help="The .safetensors to write.")
@click.option(
    "--recipe",
    default="default",
    show_default=True,
    type=click.Choice(_RECIPES),
    help="Generator, discriminator and losses.",
)
@click.option(
    "--minutes",
    **_positive(),
    help="Budget by the clock, over all resumptions; validations and checkpoints come on top.",
)
@click.option(
    "--steps", type=click.IntRange(min=1), help="Budget in steps; repeats exactly on one CPU thread."
)
@click.option(
    "--encoder",
    type=_PATH,
    help="ImageNet state dict (.pth) for the generator's encoder; 'torchvision' takes or downloads its own.",
)
@click.option(
    "--features",
    type=_FILE,
    help="ImageNet state dict of EfficientNet-Lite or VGG-16, for the perceptual loss and what builds on it.",
)
@click.option("--init", type=_PATH, help="Weights of the same architecture to begin with, a file or a name.")
@click.option(
    "--generator-option",
    "-g",
    multiple=True,
    metavar="NAME=VALUE",
    help="Size of the generator, such as downs=7 or filters=32.",
)
@click.option(
    "--validation",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Pictures to judge by on the way; without it 48 of DATA are held out.",
)
@click.option("--work-dir", type=_FOLDER, help="For checkpoint, numbers, samples.  [default: OUT.train]")
@click.option("--cache", type=_FOLDER, help="For decoded pictures.  [default: cache in the work-dir]")
@click.option("--cache-on-device", is_flag=True, help="Keep all pictures in the device's memory.")
@click.option("--batch", default=32, show_default=True, type=_COUNT, help="Pictures a step.")
@click.option("--accumulate", default=1, show_default=True, type=_COUNT, help="Parts a batch is computed in.")
@click.option(
    "--crop",
    default=128,
    show_default=True,
    type=click.IntRange(min=32),
    help="Side of the crops, pixels; smaller pictures are left out.",
)
@click.option("--rate", **_positive(1.0), help="Factor on the recipe's learning rates.")
@click.option("--first-share", type=Finite(0.0, 1.0), help="Share of the budget for the first stage.")
@click.option(
    "--warm-up",
    default=200,
    show_default=True,
    type=click.IntRange(min=0),
    help="Steps in which a stage's rate rises; a tenth of the stage at most.",
)
@click.option("--clip", **_positive(), help="Largest norm of the gradient; the recipe's own is 5 or none.")
@click.option(
    "--ema",
    default=0.999,
    show_default=True,
    type=Finite(0.0, 1.0, max_open=True),
    help="Decay of the averaged weights that are saved.",
)
@click.option(
    "--freeze-encoder",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Steps in which a pretrained encoder stays as it came.",
)
@click.option("--freeze-norm", is_flag=True, help="Keep all BatchNorm statistics.")
@click.option(
    "--recalibrate",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Undamaged crops on which BatchNorm statistics are taken anew at the end.",
)
@click.option(
    "--strength",
    default=1.0,
    show_default=True,
    type=Finite(0.0, 2.0),
    help="Of the damage done to the grey picture: 0 none, 1 old film.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--precision", default="auto", show_default=True, type=_PRECISION)
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0, 2**32 - 1))
@click.option("--every", default=1000, show_default=True, type=_COUNT, help="Steps between validations.")
@click.option("--checkpoint-minutes", **_positive(3.0), help="Time between checkpoints.")
@click.option(
    "--keep",
    default="last",
    show_default=True,
    type=click.Choice(["last", "best"]),
    help="Which weights to write; best: lowest perceptual distance, or ab error, in validation.",
)
@click.option("--restart", is_flag=True, help="Forget the checkpoint in the work-dir.")
@click.option("--quiet", "-q", is_flag=True, help="No progress bar.")
@click.option("--debug", is_flag=True, help="Show a traceback with an error.")
def main(debug: bool, **arguments: Any) -> None:
    """Train a generator on DATA: folders, tars and single files of colour pictures and films.

    The same command goes on after an interruption. Under torchrun several processes train together.
    """
    caught: Exception | None = None
    try:
        _run(**arguments)
        return
    except VidcolorError as error:
        caught, message, code = error, str(error), error.exit_code
    except KeyboardInterrupt:
        message, code = "interrupted; the same command goes on from the last checkpoint, if there is one", 130
    except Exception as error:
        caught, (message, code) = error, _unforeseen(error)
    if debug and caught is not None:
        traceback.print_exception(caught)
    click.echo(printable(f"vidcolor-train: {message}"), err=True)
    sys.exit(code)


def _unforeseen(error: Exception) -> tuple[str, int]:
    """One line for an exception that is not ours, and the exit code."""
    import torch

    from vidcolor.devices import is_of_device, is_out_of_memory

    if is_out_of_memory(error):
        advice = "lower --batch or --crop, raise --accumulate, or leave out --cache-on-device"
        return (
            f"out of memory: {advice}; the same command goes on from the last checkpoint",
            UsageError.exit_code,
        )
    if is_of_device(error):
        then = "the same command goes on from the last checkpoint, if there is one"
        return f"the device has failed ({first_line(error)}); {then}", UsageError.exit_code
    if "Expected more than 1 value per channel" in str(error):  # BatchNorm, by then at 1×1 pixels
        return "BatchNorm needs more: raise --batch or --crop, or lower --accumulate", UsageError.exit_code
    if isinstance(error, torch.distributed.DistError) or "gloo" in str(error):
        return "another of the processes has ended; what it says counts", EXIT_BUG
    return fault(error), EXIT_BUG


def _run(
    data: tuple[Path, ...],
    out: Path,
    encoder: Path | None,
    features: Path | None,
    init: Path | None,
    generator_option: tuple[str, ...],
    validation: tuple[Path, ...],
    work_dir: Path | None,
    cache: Path | None,
    cache_on_device: bool,
    device: str,
    restart: bool,
    quiet: bool,
    **rest: Any,
) -> None:
    from vidcolor.devices import resolve_device
    from vidcolor.memory import keep_freed_memory
    from vidcolor.training.building import build_state, missing_networks
    from vidcolor.training.cli_progress import photos_shown, train_shown
    from vidcolor.training.options import TORCHVISION, Assignment, Files, TrainOptions
    from vidcolor.training.parallel import joined, wait_for_all
    from vidcolor.training.precision import training_precision
    from vidcolor.training.run import check_parts, held, refuse_others
    from vidcolor.weightfiles import find_weights
    from vidcolor.writing import check_writable

    options = TrainOptions(generator=_generator_options(generator_option), **rest)
    if not out.name:
        raise UsageError("--out: the name is empty")
    work = work_dir or out.with_name(out.name + ".train")
    begun_with = None if init is None else find_weights(os.fspath(init))
    files = Files(out=out, work=work, encoder=encoder, features=features, init=begun_with)
    if encoder is not None and str(encoder) != TORCHVISION and not encoder.is_file():
        raise UsageError(f"--encoder {encoder}: there is no such file")
    check_writable(out)
    refuse_others(files)
    keep_freed_memory()
    with joined(resolve_device(device)) as place:
        log_all_as("vidcolor-train", logging.WARNING if place.leads else logging.ERROR)
        training_precision(options.precision, place.device)
        check_parts(options, place)
        state = build_state(options, files, place.device)  # refuses what does not fit before work begins
        with held(work) if place.leads else nullcontext():
            for line in missing_networks(options, files) if place.leads else []:
                click.echo(printable(f"vidcolor-train: {line}"), err=True)
            wait_for_all(place)
            found = cache or work / "cache"
            photos = photos_shown(list(data), found, options.crop, place, cache_on_device, quiet)
            judged = None
            if validation:
                found = work / "validation"
                judged = photos_shown(list(validation), found, options.crop, place, False, quiet)
            assignment = Assignment(options=options, files=files, place=place)
            train_shown(state, photos, judged, assignment, restart=restart, quiet=quiet)


def _generator_options(pairs: tuple[str, ...]) -> dict[str, Any]:
    found = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign:
            raise UsageError(f"--generator-option {pair}: NAME=VALUE is needed")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found
