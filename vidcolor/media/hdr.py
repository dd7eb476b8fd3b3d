"""HDR metadata of a frame, in the words of the encoders that write it into their streams."""

from __future__ import annotations

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType

from vidcolor.media.sidedata import side_data_of

_UNITS = (50_000, 10_000)
"""Of chromaticity and luminance: SMPTE ST 2086, as in the headers of H.264 and HEVC."""
_NAMES = {
    "libx264": ("x264-params", "mastering-display", "cll", _UNITS),
    "libx265": ("x265-params", "master-display", "max-cll", _UNITS),
    "libsvtav1": ("svtav1-params", "mastering-display", "content-light", None),
}
_KINDS = (SideDataType.MASTERING_DISPLAY_METADATA, SideDataType.CONTENT_LIGHT_LEVEL)
_FURTHER = {
    SideDataType.DYNAMIC_HDR_PLUS: "HDR10+",
    SideDataType.DOVI_RPU_BUFFER: "Dolby Vision",
    SideDataType.DOVI_METADATA: "Dolby Vision",
    SideDataType.DYNAMIC_HDR_VIVID: "HDR Vivid",
    SideDataType.AMBIENT_VIEWING_ENVIRONMENT: "ambient light",
}


def further_metadata(video: av.VideoFrame) -> str:
    """What ``video`` tells of its brightness that no encoder here repeats: names, "" without any."""
    found = {_FURTHER[data.type]: None for data in side_data_of(video) if data.type in _FURTHER}
    return ", ".join(found)


def loses_hdr(video: av.VideoFrame, codec: str) -> bool:
    """Whether ``video`` tells of its mastering display or light levels, and the encoder cannot repeat it."""
    return codec not in _NAMES and any(data.type in _KINDS for data in side_data_of(video))


def hdr_settings(video: av.VideoFrame, codec: str) -> dict[str, str]:
    """Encoder options that repeat the mastering display and light levels of ``video``; empty without them."""
    if codec not in _NAMES:
        return {}
    key, display_name, light_name, units = _NAMES[codec]
    found = []
    for data in side_data_of(video):
        if data.type == SideDataType.MASTERING_DISPLAY_METADATA:
            display = _mastering_display(np.frombuffer(data, np.int32), units)
            found += [f"{display_name}={display}"] if display else []
        elif data.type == SideDataType.CONTENT_LIGHT_LEVEL:
            brightest, average = np.frombuffer(data, np.uint32)[:2]
            found.append(f"{light_name}={brightest},{average}")
    return {key: ":".join(found)} if found else {}


def _mastering_display(numbers: np.ndarray, units: tuple[int, int] | None) -> str | None:
    """``G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)`` of AVMasteringDisplayMetadata: ten ratios, then two flags.

    In whole units, or as decimal numbers.
    """
    ratios, flags = numbers[:20].reshape(10, 2).astype(float), numbers[20:22]
    if not flags.all() or (ratios[:, 1] == 0).any():
        return None
    values = ratios[:, 0] / ratios[:, 1]
    written = [f"{value:.6g}" for value in values]
    if units is not None:
        each = [units[0]] * 8 + [units[1]] * 2
        written = [str(round(value * unit)) for value, unit in zip(values, each, strict=True)]
    red_x, red_y, green_x, green_y, blue_x, blue_y, white_x, white_y, least, most = written
    primaries = f"G({green_x},{green_y})B({blue_x},{blue_y})R({red_x},{red_y})"
    return f"{primaries}WP({white_x},{white_y})L({most},{least})"
