"""``vidcolor-eval stability``: whether colours hold still when the grey picture changes a little."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vidcolor.evaluation.cli_common import (
    Damaged,
    device_option,
    load_predictor,
    progress,
    render_size_option,
    reporting,
    show,
    weights_option,
)

if TYPE_CHECKING:
    from vidcolor.evaluation.stability import Stability


@click.command(short_help="how far colours move when grey hardly does")
@click.argument("data", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@weights_option
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="Chosen by --seed.")
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="Of the choice of pictures and of the grain.",
)
@render_size_option(96)
@device_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
@reporting
def stability(
    data: tuple[Path, ...],
    weights: str,
    limit: int,
    seed: int,
    render_size: int,
    device: str,
    as_json: bool,
) -> int:
    """Change the grey of the photographs of DATA (folders, tars) a little and see how far colours move.

    For each change: mean distance in the ab plane from the colours without it, brought back into place,
    as a share of the mean chroma. Below 0.15 is good.
    """
    from vidcolor.evaluation.pictures import list_pictures
    from vidcolor.evaluation.stability import measure_stability

    _, predictor = load_predictor(weights, device)
    pictures = list_pictures(list(data), limit, seed)
    damaged = Damaged()
    decoded = progress(pictures.decoded(damaged), len(pictures))
    found = measure_stability(decoded, predictor, render_size, seed=seed)
    described = {"weights": weights, "render_size": render_size, "seed": seed, **asdict(found)}
    show(json.dumps(described) if as_json else _table(found, weights, render_size, seed))
    return damaged.exit_code


def _table(found: Stability, weights: str, render_size: int, seed: int) -> str:
    from vidcolor.evaluation.stability import TARGET

    count = f"{found.pictures} picture{'s' * (found.pictures != 1)}"
    head = f"{weights}: {count} (seed {seed}), render size {render_size}, "
    lines = [head + f"mean chroma {found.chroma:.2f}", f"change of ab over mean chroma (aim: < {TARGET})", ""]
    for name, moved in found.moved.items():
        spread = found.spread[name]
        lines.append(f"{name:20}{moved:8.3f}" + ("" if spread is None else f" ± {spread:.3f}"))
    return "\n".join(lines)
