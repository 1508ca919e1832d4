"""`python -m s3prl_plugins.cli` is the `s3prl-plugins` command."""

import sys

from s3prl_plugins.cli import main

sys.exit(main())
