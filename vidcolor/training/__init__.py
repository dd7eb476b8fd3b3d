"""Training of the generators; needs torch, torchvision and numpy only."""
