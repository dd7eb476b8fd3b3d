"""Generators: plain torch modules, no input or output."""
