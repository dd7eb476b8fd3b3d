"""The man pages say what the commands' help says."""

from __future__ import annotations

import pytest

pytest.importorskip("click_man")

from man_pages import FOLDER, exit_codes, pages


def test_the_pages_are_in_step_with_the_commands() -> None:
    stored = {path.name: path.read_text(encoding="ascii") for path in FOLDER.glob("*.1")}
    assert stored == pages(), "python tests/man_pages.py writes them anew"


def test_a_page_names_options_and_exit_codes() -> None:
    page = pages()["vidcolor.1"]
    assert "vidcolor \\- colour black-and-white films" in page
    assert r"\fB\-\-temporal\fP" in page
    codes = [code for code, _ in exit_codes()]
    assert codes[0] == "0" and "7" in codes
    assert all(rf"\fB{code}\fP" in page for code in codes)


def test_the_weights_that_are_shipped_are_named() -> None:
    page = pages()["vidcolor.1"]
    names = {path.stem for path in (FOLDER.parent.parent / "weights").glob("*.safetensors")}
    assert {"default", "steady"} <= names
    assert all(name in page.partition("Generator: ")[2].partition("\n")[0] for name in names)
