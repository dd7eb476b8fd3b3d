"""``vidcolor-train``: trains the default generator on folders and tars of photographs."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path

import click

from vidcolor.errors import VidcolorError, WeightsError


@click.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The .safetensors to write."
)
@click.option(
    "--encoder",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="ImageNet state dict (.pth) of the encoder; without it, training starts from noise.",
)
@click.option("--variant", default="lite2", show_default=True, type=click.Choice(["lite0", "lite1", "lite2"]))
@click.option(
    "--work-dir",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the decoded pictures and the checkpoint; run again to go on.",
)
@click.option("--minutes", default=60.0, show_default=True, type=click.FloatRange(min=0.0, min_open=True))
@click.option("--batch", default=32, show_default=True, type=click.IntRange(min=2))
@click.option("--crop", default=128, show_default=True, type=click.IntRange(min=32))
@click.option("--rate", default=1e-3, show_default=True, type=click.FloatRange(min=0.0, min_open=True))
@click.option("--chroma-weight", default=1.0, show_default=True, type=click.FloatRange(min=0.0))
@click.option("--frozen-share", default=0.35, show_default=True, type=click.FloatRange(0.0, 1.0))
@click.option("--seed", default=1, show_default=True)
def main(
    data: tuple[Path, ...], out: Path, encoder: Path | None, variant: str, work_dir: Path, **rest: float
) -> None:
    """Train the default generator on DATA (folders or tars of colour photographs)."""
    try:
        _run(data, out, encoder, variant, work_dir, rest)
    except VidcolorError as error:
        click.echo(f"vidcolor-train: {error}", err=True)
        sys.exit(error.exit_code)


def _run(
    data: tuple[Path, ...], out: Path, encoder: Path | None, variant: str, work: Path, rest: dict[str, float]
) -> None:
    import torch

    from vidcolor.checkpoint import save_weights
    from vidcolor.networks.unet import LiteUNet
    from vidcolor.training.data import load_photos
    from vidcolor.training.loop import TrainOptions, TrainState, build_state, load_checkpoint, train

    options = TrainOptions(**rest)  # type: ignore[arg-type]
    if options.crop % LiteUNet.multiple:
        raise click.UsageError(f"--crop must be a multiple of {LiteUNet.multiple}")
    photos = load_photos(list(data), work, smallest=options.crop)
    click.echo(f"{len(photos)} pictures, {photos.skipped} left out", err=True)
    torch.manual_seed(options.seed)
    network = LiteUNet(variant)
    if encoder is not None:
        try:
            network.encoder.load_imagenet(torch.load(encoder, weights_only=True, map_location="cpu"))
        except (ValueError, RuntimeError, AttributeError) as error:
            raise WeightsError(f"{encoder}: not ImageNet weights of {variant}: {error}") from error
    state = build_state(network, options)
    checkpoint = work / "checkpoint.pt"
    if checkpoint.exists():
        load_checkpoint(state, checkpoint)
        click.echo(f"going on at step {state.step}", err=True)

    def show(now: TrainState) -> None:
        if now.step % 50 == 0:
            mean = sum(now.losses) / len(now.losses)
            click.echo(
                f"step {now.step}  loss {mean:.4f}  {now.pictures / now.seconds:.1f} pictures/s  "
                f"{now.seconds / 60:.1f} of {options.minutes:g} min",
                err=True,
            )

    train(state, photos, options, checkpoint, show)
    recipe = (
        f"weighted Huber on ab, {state.pictures} crops of {options.crop} px in batches of {options.batch}, "
        f"{state.seconds / 60:.0f} minutes on a CPU, encoder frozen for {options.frozen_share:.0%}, "
        f"chroma weight {options.chroma_weight:g}, EMA {options.ema_decay}"
    )
    save_weights(
        out,
        state.average,
        recipe=recipe,
        data=f"{len(photos)} photographs, sha256 {photos.digest}",
        date=datetime.date.today().isoformat(),
    )
