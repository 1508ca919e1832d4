"""Checkpoints of other toolkits in, ours out."""
