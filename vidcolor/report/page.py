"""The report as one page of HTML that needs nothing beside itself: no network, no other file."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping
from html import escape

import numpy as np
from numpy.typing import NDArray

from vidcolor.report.measure import Measured, Shot
from vidcolor.result import clock

_WIDTH, _HEIGHT = 1000, 110
_MOST_POINTS = 2000
_LEAST_CHROMA = 2.0
"""Mean chroma (CIELAB) below which a hue says nothing."""

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1f; --soft: #55555f; --paper: #fbfbfd; --card: #ffffff;
  --line: #d5d5de; --accent: #0b57a4; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececf1; --soft: #b4b4c0; --paper: #16161a;
  --card: #202027; --line: #3c3c48; --accent: #7cb8ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 1.5rem 1rem 4rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
p { color: var(--soft); margin: .25rem 0 .75rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .6rem .3rem 0;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; vertical-align: top; }
.shots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 320px), 1fr)); gap: 1rem; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  overflow: hidden; }
.pair { position: relative; touch-action: pan-y; } .pair img { display: block; width: 100%; height: auto; }
.pair .before { position: absolute; inset: 0; height: 100%;
  clip-path: inset(0 calc(100% - var(--at, 50%)) 0 0); }
.pair .edge { position: absolute; top: 0; bottom: 0; left: var(--at, 50%); width: 2px; margin-left: -1px;
  background: #fff; box-shadow: 0 0 3px #000; pointer-events: none; }
figure label { display: block; padding: .5rem .75rem .25rem; font-size: .9rem; color: var(--soft); }
input[type=range] { width: 100%; accent-color: var(--accent); margin: .25rem 0 .5rem; }
svg { display: block; width: 100%; height: 110px; background: var(--card); border: 1px solid var(--line); }
svg * { vector-effect: non-scaling-stroke; } svg .cut { stroke: var(--line); }
svg .curve { fill: none; stroke: var(--accent); stroke-width: 1.5; }
h3 { font-size: 1rem; margin: 1rem 0 .25rem; } h3 span { font-weight: normal; color: var(--soft); }
@media print { body { max-width: none; } figure { break-inside: avoid; } input { display: none; } }
"""

_SCRIPT = """
for (const range of document.querySelectorAll('.slide')) {
  const pair = range.closest('figure').querySelector('.pair');
  const move = () => {
    pair.style.setProperty('--at', range.value + '%');
    range.setAttribute('aria-valuetext', range.value + ' % before');
  };
  range.addEventListener('input', move);
  pair.addEventListener('pointermove', event => {
    if (event.pointerType === 'mouse' && event.buttons !== 1) return;
    const box = pair.getBoundingClientRect();
    range.value = Math.round(100 * (event.clientX - box.left) / box.width);
    move();
  });
  move();
}
"""


def head_of(title: str) -> str:
    """By what a page on the film of that name is known."""
    return f"<title>{escape(title)}: vidcolor report</title>"


def page(title: str, facts: Mapping[str, str], measured: Measured, warnings: Iterable[str] = ()) -> str:
    """The whole document.

    Args:
        title: the film's name.
        facts: what is said of the run, in order.
        measured: what was found in the film.
        warnings: lines that the run has said.
    """
    rows = "".join(f"<tr><th scope='row'>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in facts.items())
    said = "".join(f"<li>{escape(line)}</li>" for line in warnings)
    figures = "".join(_figure(i, s) for i, s in enumerate(measured.shots, 1) if s.after)
    left = sum(not shot.after for shot in measured.shots)
    note = f" {left} more {'is' if left == 1 else 'are'} in the table below." if left else ""
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"{head_of(title)}<style>{_STYLE}</style></head><body><main>"
        f"<h1>{escape(title)}</h1><p>What vidcolor made of it.</p>"
        f"<h2>The run</h2><table>{rows}</table>"
        + (f"<h2>Warnings</h2><ul>{said}</ul>" if said else "")
        + "<h2>Before and after</h2>"
        f"<p>A frame from the middle of each shot. Move the slider, by mouse, finger or arrow keys.{note}</p>"
        f"<div class='shots'>{figures}</div>"
        "<h2>Colours over time</h2><p>Means of each frame; lines stand where shots begin. Within a shot "
        "smooth lines are steady colours: ragged ones are flicker, slanting ones drift.</p>"
        + _charts(measured)
        + "<h2>Shots</h2>"
        + _shot_table(measured)
        + f"</main><script>{_SCRIPT}</script></body></html>\n"
    )


def _figure(number: int, shot: Shot) -> str:
    height, width = shot.shape
    at = clock(shot.middle)

    def image(kind: str, content: bytes, words: str) -> str:
        data = base64.b64encode(content).decode()
        return (
            f"<img class='{kind}' width='{width}' height='{height}' src='data:image/jpeg;base64,{data}' "
            f"alt='Shot {number} at {at}, {words}'>"
        )

    return (
        f"<figure><div class='pair'>{image('after', shot.after, 'coloured')}"
        f"{image('before', shot.before, 'as it was')}<span class='edge'></span></div>"
        f"<label>Shot {number}, {at}: before to after"
        "<input class='slide' type='range' min='0' max='100' value='50'></label></figure>"
    )


def _charts(measured: Measured) -> str:
    lines = (
        ("Chroma (CIELAB)", measured.chroma, 0.0),
        ("Hue, degrees (gaps: nearly grey)", hues(measured.ab), None),
        ("Luma, %", 100.0 * measured.luma, 0.0),
    )
    return "".join(_chart(title, values, low, measured) for title, values, low in lines)


def hues(ab: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hue angle, degrees ``(n,)``, of ab ``(n, 2)``, without jumps by a turn; NaN where it is nearly grey."""
    found = np.full(len(ab), math.nan)
    coloured = np.flatnonzero(np.hypot(*ab.T) >= _LEAST_CHROMA)
    if not coloured.size:
        return found
    usual = math.degrees(math.atan2(*ab[coloured].mean(0)[::-1]))
    for run in np.split(coloured, np.flatnonzero(np.diff(coloured) > 1) + 1):  # grey says nothing of turns
        hue = np.degrees(np.unwrap(np.arctan2(ab[run, 1], ab[run, 0])))
        found[run] = hue - 360.0 * np.round((np.median(hue) - usual) / 360.0)
    return found


def thinned(values: NDArray[np.float64], most: int) -> NDArray[np.intp]:
    """Places of ``most`` values, at most, that show all ups and downs: the least and greatest of each part.

    A part without a finite value has one place, for the gap that it is.
    """
    if len(values) <= most:
        return np.arange(len(values))
    places: list[int] = []
    for part in np.array_split(np.arange(len(values)), most // 2):
        finite = part[np.isfinite(values[part])]
        ends = (finite[values[finite].argmin()], finite[values[finite].argmax()]) if finite.size else part[:1]
        places += sorted({int(place) for place in ends})
    return np.array(places)


def _chart(title: str, values: NDArray[np.float64], low: float | None, measured: Measured) -> str:
    finite = values[np.isfinite(values)]
    bottom = low if low is not None else (float(finite.min()) if finite.size else 0.0)
    top = max(float(finite.max()) if finite.size else 1.0, bottom + 1e-6)
    begin, length = measured.times[0], max(measured.times[-1] - measured.times[0], 1e-9)
    shown = thinned(values, _MOST_POINTS)

    def x(seconds: float) -> float:
        return float(_WIDTH * (seconds - begin) / length)

    parts, pen = [], "M"
    for time, value in zip(measured.times[shown], values[shown], strict=True):
        if not math.isfinite(value):
            pen = "M"
            continue
        parts.append(
            f"{pen}{x(time):.1f} {_HEIGHT - 4 - (_HEIGHT - 8) * (value - bottom) / (top - bottom):.1f}"
        )
        pen = "L"
    cuts = "".join(
        f"<line class='cut' x1='{x(s.begin):.1f}' x2='{x(s.begin):.1f}' y1='0' y2='{_HEIGHT}'/>"
        for s in measured.shots[1:]
    )
    range_text = f"{bottom:.0f} to {top:.0f}"
    return (
        f"<h3>{escape(title)} <span>{range_text}</span></h3><svg viewBox='0 0 {_WIDTH} {_HEIGHT}' role='img' "
        f"preserveAspectRatio='none' aria-label='{escape(title)} over time, {range_text}'>{cuts}"
        f"<path class='curve' d='{' '.join(parts)}'/></svg>"
    )


def _shot_table(measured: Measured) -> str:
    rows = "".join(
        f"<tr><td>{number}</td><td>{clock(shot.begin)}</td><td>{clock(shot.end)}</td><td>{shot.frames}</td></tr>"
        for number, shot in enumerate(measured.shots, 1)
    )
    return (
        "<table><thead><tr><th scope='col'>Shot</th><th scope='col'>from</th><th scope='col'>to</th>"
        f"<th scope='col'>frames</th></tr></thead><tbody>{rows}</tbody></table>"
    )
