"""``vidcolor-eval``: scores generators on pictures whose colours are known."""

from __future__ import annotations

import click

from vidcolor.evaluation.cli_images import images
from vidcolor.evaluation.cli_stability import stability


@click.group()
def main() -> None:
    """Score generators on pictures whose colours are known."""


main.add_command(images)
main.add_command(stability)
