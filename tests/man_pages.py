"""Writes the man pages into vidcolor/man, from the commands' own help; run after options have changed."""

from __future__ import annotations

import re
from pathlib import Path

import click
from click_man.core import generate_man_page

from vidcolor._version import __version__
from vidcolor.cli import command
from vidcolor.evaluation.cli import main as evaluation
from vidcolor.report.cli import command as report
from vidcolor.training.cli import main as training

FOLDER = Path(__file__).parent.parent / "vidcolor" / "man"
_DATE = "2026-11-26"
_README = Path(__file__).parent.parent / "README.md"


def exit_codes() -> list[tuple[str, str]]:
    """The README's table."""
    section = _README.read_text(encoding="utf-8").partition("## Exit codes")[2].partition("\n## ")[0]
    return re.findall(r"^\| (\d[\d, ]*) \| (.+?) \|$", section, re.MULTILINE)


def pages() -> dict[str, str]:
    """Name and content of each page."""
    commands: dict[str, click.Command] = {
        "vidcolor": command,
        "vidcolor-train": training,
        "vidcolor-report": report,
        "vidcolor-eval": evaluation,
    }
    made = {}
    for name, root in commands.items():
        parent = click.Context(root, info_name=name)
        made[f"{name}.1"] = _page(parent)
        if isinstance(root, click.Group):
            for part, child in root.commands.items():
                made[f"{name}-{part}.1"] = _page(click.Context(child, info_name=part, parent=parent))
    return made


def _page(context: click.Context) -> str:
    codes = exit_codes()
    if not any("-y" in parameter.opts for parameter in context.command.params):
        codes = [(code, text.replace(" (`-y` overwrites)", "")) for code, text in codes]
    status = [line for code, text in codes for line in (".TP", f"\\fB{code}\\fP", text)]
    page = generate_man_page(context, version=__version__, date=_DATE)
    whole = "\n".join([page.rstrip(), ".SH EXIT STATUS", *status, ""]).replace("`", "")
    return re.sub(r"[^\x00-\x7f]", lambda found: f"\\[u{ord(found[0]):04X}]", whole)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.1"):
        old.unlink()
    for file, content in pages().items():
        (FOLDER / file).write_text(content, encoding="utf-8")
