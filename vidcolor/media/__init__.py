"""Containers, tracks and codecs: what travels beside the picture."""
