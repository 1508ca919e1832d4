"""A plugin for s3prl: it runs on today's PyTorch, trains all SUPERB heads jointly, and brings new upstreams.

Importing this package makes the names of `s3prl_plugins.plugin` known to s3prl, as the `.pth` file does at the start of
Python; it imports neither torch nor s3prl.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from s3prl_plugins.inference import load as load
    from s3prl_plugins.inference import push_to_hub as push_to_hub

from s3prl_plugins.importing import activate

__version__ = "0.1.0"

# A checkout keeps upstream/, downstream/ and configs/ beside this folder; an installed wheel has them inside it.
_here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 (pathlib is half of the cost of this import)
if not os.path.isdir(os.path.join(_here, "upstream")):  # noqa: PTH112, PTH118
    __path__.append(os.path.dirname(_here))  # noqa: PTH120

activate()


def __getattr__(name: str) -> Any:
    """`s3prl_plugins.load` and `push_to_hub`, imported when they are first asked for, because torch comes with them."""
    if name in ("load", "push_to_hub"):
        from s3prl_plugins import inference

        return getattr(inference, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
