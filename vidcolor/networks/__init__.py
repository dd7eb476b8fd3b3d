"""Generators and discriminators: plain torch modules, no input or output."""
