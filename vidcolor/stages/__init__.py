"""The path of a frame, in order: decode, luminance, shots, predict, propagate, recolor, reencode, remux."""
