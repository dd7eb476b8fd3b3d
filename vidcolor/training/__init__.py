"""Training of the generators; needs torch, numpy and Pillow only."""
