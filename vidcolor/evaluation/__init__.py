"""Scores of generators on pictures whose colours are known."""
