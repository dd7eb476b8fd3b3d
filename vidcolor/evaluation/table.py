"""The scores as people read them."""

from __future__ import annotations

from vidcolor.evaluation.collect import RESIZE
from vidcolor.evaluation.options import ImageOptions
from vidcolor.evaluation.report import HALVES, Report

_ROWS = (
    ("psnr", "PSNR of R'G'B', dB", 2, 1.0),
    ("ssim", "SSIM", 3, 1.0),
    ("ab_error", "ab error", 2, 1.0),
    ("lpips", "LPIPS (AlexNet)", 4, 1.0),
    ("fid", "FID", 2, 1.0),
    ("kid", "KID × 1000", 2, 1000.0),
    ("colourfulness", "colourfulness (M3)", 2, 1.0),
    ("colourfulness_magnitudes", "colourfulness (|rg|, |yb|)", 2, 1.0),
)
_TARGETS = (
    ("fid_of_grey", "FID: ours of grey's", 3),
    ("colourfulness_of_truth", "colourfulness (M3): ours of truth's", 3),
    ("colourfulness_magnitudes_of_truth", "colourfulness (|rg|, |yb|): ours of truth's", 3),
    ("psnr_gain", "PSNR gain over grey, dB", 2),
)
_COLUMNS = ("grey", "ours", "truth")


def table(report: Report, options: ImageOptions, *, found: int, damaged: int) -> str:
    """Grey, ours and truth side by side, then what the project aims at."""
    lines = [
        f"{options.weights}: {report.pictures} of {found} pictures (seed {options.seed}, {damaged} damaged), "
        f"render size {options.render_size}",
        f"networks see {RESIZE}; KID: 100 subsets of {options.kid_subset}; ± over {HALVES} random halves",
        "",
        f"{'':28}" + "".join(f"{column:>18}" for column in _COLUMNS),
    ]
    for name, title, digits, scale in _ROWS:
        cells = (
            _cell(report.scores[c].get(name), report.spread[c].get(name), digits, scale) for c in _COLUMNS
        )
        lines.append(f"{title:28}" + "".join(f"{cell:>18}" for cell in cells))
    lines.append("")
    for name, title, digits in _TARGETS:
        cell = _cell(report.scores["targets"][name], report.spread["targets"][name], digits, 1.0)
        lines.append(f"{title:46}{cell:>18}")
    return "\n".join(lines)


def _cell(value: float | None, spread: float | None, digits: int, scale: float) -> str:
    if value is None:
        return "–"
    number = f"{value * scale:.{digits}f}"
    return f"{number} ± {spread * scale:.{digits}f}" if spread else number
