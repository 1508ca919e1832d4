"""Downstream tasks this package adds to s3prl."""
