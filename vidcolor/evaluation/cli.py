"""``vidcolor-eval``: scores generators on pictures and films whose colours are known."""

from __future__ import annotations

import click

from vidcolor.cli_options import CONTEXT, OneLineGroup
from vidcolor.evaluation.cli_images import images
from vidcolor.evaluation.cli_stability import stability
from vidcolor.evaluation.cli_video import video


@click.group(cls=OneLineGroup, context_settings=CONTEXT, short_help="score generators")
def main() -> None:
    """Score generators on pictures and films whose colours are known."""


main.add_command(images)
main.add_command(stability)
main.add_command(video)
