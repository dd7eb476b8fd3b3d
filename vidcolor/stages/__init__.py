"""The path of a frame, in order: decode, luminance, predict, propagate, recolor, reencode, remux."""
