"""Losses, the training step, the loop and its checkpoints."""
