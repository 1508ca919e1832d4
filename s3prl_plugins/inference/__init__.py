"""Answers of a trained model for any recording: `s3prl_plugins.load(MODEL)(FILE)`."""

from s3prl_plugins.inference.hub import push_to_hub
from s3prl_plugins.inference.loading import load

__all__ = ["load", "push_to_hub"]
