"""Entry points for `torch.hub.load(REPOSITORY, NAME)`: every upstream of this package."""

from s3prl_plugins.plugin import upstream_entries

dependencies = ["torch", "torchaudio", "numpy", "yaml", "soundfile", "s3prl"]

globals().update(upstream_entries())
