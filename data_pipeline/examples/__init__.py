"""Frames on the nets' grid -> clips, splits and batches."""
