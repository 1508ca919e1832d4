"""A local page that shows all a model says of a recording: `s3prl-plugins serve MODEL`."""
