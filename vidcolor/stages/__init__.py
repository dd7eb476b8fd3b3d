"""The path of a frame.

It is decode, luminance, shots, predict, interpolate, propagate, recolor, compare, reencode, remux.
"""
