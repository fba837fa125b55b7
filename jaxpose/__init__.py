"""Limb poses from depth video: the method and its cost. See README.md."""

__version__ = "0.1.0"
