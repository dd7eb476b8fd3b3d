"""Training of the generators; needs torch, numpy, safetensors and Pillow, and PyAV for films."""
