"""The path of a frame: decode, luminance, shots, predict, propagate, recolor, compare, reencode, remux."""
