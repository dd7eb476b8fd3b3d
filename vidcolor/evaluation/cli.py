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


@click.group()
def main() -> None:
    """Score generators on pictures whose colours are known."""


@main.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--weights", default="default", show_default=True)
@click.option("--render-size", default=256, show_default=True, type=click.IntRange(32, 2048))
@click.option("--device", default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
@click.option("--sheet", type=click.Path(dir_okay=False, path_type=Path), help="PNG of grey, ours, truth.")
def images(
    data: tuple[Path, ...], weights: str, render_size: int, device: str, as_json: bool, sheet: Path | None
) -> None:
    """Colour the photographs of DATA (folders, tars) from their luma and compare with the truth."""
    try:
        _images(list(data), weights, render_size, device, as_json, sheet)
    except VidcolorError as error:
        click.echo(f"vidcolor-eval: {error}", err=True)
        sys.exit(error.exit_code)


def _images(
    data: list[Path], weights: str, render_size: int, device_name: str, as_json: bool, sheet: Path | None
) -> None:
    from tqdm import tqdm

    from vidcolor.checkpoint import load_generator
    from vidcolor.evaluation.images import colour_pictures, contact_sheet, score
    from vidcolor.stages.predict import Predictor, resolve_device, resolve_precision

    device = resolve_device(device_name)
    predictor = Predictor(load_generator(weights), device, resolve_precision("auto", device))
    scores, kept = score(
        iter(tqdm(colour_pictures(data, predictor, render_size), unit="picture", disable=None))
    )
    if as_json:
        click.echo(json.dumps({"weights": weights, "render_size": render_size, **scores.as_dict()}))
    else:
        click.echo(f"{scores.pictures} pictures at render size {render_size}, {weights}")
        click.echo(f"PSNR (R'G'B')    {scores.psnr:6.2f} dB   grey {scores.grey_psnr:.2f} dB")
        click.echo(f"ab error         {scores.ab_error:6.2f}")
        share = scores.colourfulness / scores.true_colourfulness if scores.true_colourfulness else 0.0
        truth = f"truth {scores.true_colourfulness:.2f} ({share:.2f} of it)"
        click.echo(f"colourfulness    {scores.colourfulness:6.2f}      {truth}")
    if sheet is not None:
        _write_sheet(sheet, contact_sheet([sample for _, sample in kept]))


def _write_sheet(path: Path, rgb: NDArray[np.uint8]) -> None:
    from PIL import Image

    from vidcolor.errors import OutputError

    try:
        Image.fromarray(rgb).save(path)
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be written ({error})") from error
