"""``vidcolor-eval``: scores a generator on colour photographs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vidcolor.errors import VidcolorError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vidcolor.evaluation.images import Scores


@click.group()
def main() -> None:
    """Score generators on pictures whose colours are known."""


@main.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--weights", default="default", show_default=True)
@click.option("--render-size", default=256, show_default=True, type=click.IntRange(32, 2048))
@click.option("--device", default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
@click.option("--record", is_flag=True, help="Write the scores into the metadata of the weights.")
@click.option("--sheet", type=click.Path(dir_okay=False, path_type=Path), help="PNG of grey, ours, truth.")
def images(
    data: tuple[Path, ...],
    weights: str,
    render_size: int,
    device: str,
    as_json: bool,
    record: bool,
    sheet: Path | None,
) -> None:
    """Colour the photographs of DATA (folders, tars) from their luma and compare with the truth."""
    try:
        _images(list(data), weights, render_size, device, as_json, record, sheet)
    except VidcolorError as error:
        click.echo(f"vidcolor-eval: {error}", err=True)
        sys.exit(error.exit_code)


def _images(
    data: list[Path],
    weights: str,
    render_size: int,
    device_name: str,
    as_json: bool,
    keep: bool,
    sheet: Path | None,
) -> None:
    from tqdm import tqdm

    from vidcolor.checkpoint import load_generator, record
    from vidcolor.evaluation.images import colour_pictures, contact_sheet, score
    from vidcolor.stages.predict import Predictor, resolve_device, resolve_precision

    device = resolve_device(device_name)
    generator = load_generator(weights)
    predictor = Predictor(generator, device, resolve_precision("auto", device))
    samples = tqdm(colour_pictures(data, predictor, render_size), unit="picture", disable=None)
    scores, kept = score(iter(samples))
    found = {"render_size": render_size, **scores.as_dict()}
    click.echo(json.dumps({"weights": weights, **found}) if as_json else _table(scores, weights, render_size))
    if keep:
        record(generator.path, scores=json.dumps(found))
    if sheet is not None:
        _write_sheet(sheet, contact_sheet([sample for _, sample in kept]))


def _table(scores: Scores, weights: str, render_size: int) -> str:
    share = scores.colourfulness / scores.true_colourfulness if scores.true_colourfulness else 0.0
    return (
        f"{scores.pictures} pictures at render size {render_size}, {weights}\n"
        f"PSNR (R'G'B')    {scores.psnr:6.2f} dB   grey {scores.grey_psnr:.2f} dB\n"
        f"ab error         {scores.ab_error:6.2f}\n"
        f"colourfulness    {scores.colourfulness:6.2f}      "
        f"truth {scores.true_colourfulness:.2f} ({share:.2f} of it)"
    )


def _write_sheet(path: Path, rgb: NDArray[np.uint8]) -> None:
    from PIL import Image

    from vidcolor.errors import OutputError

    try:
        Image.fromarray(rgb).save(path)
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be written ({error})") from error
