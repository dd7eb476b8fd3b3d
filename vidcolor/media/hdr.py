"""HDR metadata of a frame, in the words of the encoders that write it into their streams."""

from __future__ import annotations

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType

from vidcolor.media.pixels import side_data_of

_CHROMA_UNIT, _LUMINANCE_UNIT = 50_000, 10_000  # SMPTE ST 2086, as in the headers of H.264 and HEVC


def hdr_settings(video: av.VideoFrame, codec: str) -> dict[str, str]:
    """Encoder options that repeat the mastering display and light levels of ``video``; empty without them."""
    names = {
        "libx264": ("x264-params", "mastering-display", "cll"),
        "libx265": ("x265-params", "master-display", "max-cll"),
    }.get(codec)
    if names is None:
        return {}
    key, display_name, light_name = names
    found = []
    for data in side_data_of(video):
        if data.type == SideDataType.MASTERING_DISPLAY_METADATA:
            display = _mastering_display(np.frombuffer(data, np.int32))
            found += [f"{display_name}={display}"] if display else []
        elif data.type == SideDataType.CONTENT_LIGHT_LEVEL:
            brightest, average = np.frombuffer(data, np.uint32)[:2]
            found.append(f"{light_name}={brightest},{average}")
    return {key: ":".join(found)} if found else {}


def _mastering_display(numbers: np.ndarray) -> str | None:
    """``G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)`` of AVMasteringDisplayMetadata: ten ratios, then two flags."""
    ratios, flags = numbers[:20].reshape(10, 2).astype(float), numbers[20:22]
    if not flags.all() or (ratios[:, 1] == 0).any():
        return None
    values = ratios[:, 0] / ratios[:, 1]
    units = [_CHROMA_UNIT] * 8 + [_LUMINANCE_UNIT] * 2
    red_x, red_y, green_x, green_y, blue_x, blue_y, white_x, white_y, least, most = (
        round(value * unit) for value, unit in zip(values, units, strict=True)
    )
    primaries = f"G({green_x},{green_y})B({blue_x},{blue_y})R({red_x},{red_y})"
    return f"{primaries}WP({white_x},{white_y})L({most},{least})"
