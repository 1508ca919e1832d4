"""Imported by the line in s3prl_plugins.pth at every start of Python, so it is tiny and never raises.

When s3prl is imported it loads `s3prl_plugins`, which takes over. S3PRL_PLUGINS_AUTOLOAD=0 switches it off.
"""

import os
import sys


class _WaitForS3prl:
    delegates = True

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> object:
        if name != "s3prl":
            return None
        try:
            from s3prl_plugins.importing import FINDER
        except Exception as error:
            sys.stderr.write(
                f"s3prl_plugins could not be loaded ({type(error).__name__}: {error}); s3prl is unchanged\n"
            )
            return None
        return FINDER.find_spec(name, path, target)


if os.environ.get("S3PRL_PLUGINS_AUTOLOAD", "1") != "0":
    sys.meta_path.insert(0, _WaitForS3prl)
