"""Upstreams this package adds to s3prl, and checkpoints for those it has."""
