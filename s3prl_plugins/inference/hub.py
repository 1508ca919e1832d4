"""Models on the Hugging Face Hub: `push_to_hub(RUN, "org/name")` and `load("org/name")`."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.inference.model_folder import FILES

__all__ = ["download", "is_repository", "push_to_hub"]

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(?<!\.pt)(?<!\.ckpt)")


def is_repository(name: str) -> bool:
    """Whether a name may be `org/name`; names of checkpoint files are none."""
    return _REPOSITORY.fullmatch(name) is not None


def download(repo_id: str, revision: str | None = None) -> Path:
    """The folder of a repository in huggingface_hub's cache: our three files, whatever else it holds.

    :raises CheckpointError: it is not there, is not ours to read, or the Hub cannot be reached and the cache lacks it.
    """
    import huggingface_hub

    try:
        found = huggingface_hub.snapshot_download(repo_id, revision=revision, allow_patterns=list(FILES))
    except Exception as error:  # the network can fail in any of its libraries' ways
        at = f" at revision {revision!r}" if revision else ""
        raise CheckpointError(
            f"no model {repo_id!r}{at}: nothing of that name is here, and from the Hugging Face Hub it cannot be had "
            f"({_reason(error)}); check name, network and token"
        ) from error
    return Path(found)


def push_to_hub(
    source: str | Path, repo_id: str, *, private: bool | None = None, revision: str | None = None, token: str | None = None,
    **options: Any,
) -> str:  # fmt: skip
    """Write a model into a repository, which is made if it is not there; returns its address.

    :param source: what `exporting.export_folder` takes, with its `options` `half` and `corpus_root`.
    :param private: of a repository that is made; None is the organisation's default.
    :param token: None is that of `hf auth login`, or HF_TOKEN.
    :raises CheckpointError: `source` is no such model, or the Hub does not take it.
    """
    import huggingface_hub

    from s3prl_plugins.inference.exporting import export_folder

    if not is_repository(repo_id):
        raise CheckpointError(f"a repository is named org/name, found {repo_id!r}; name it so")
    with tempfile.TemporaryDirectory() as scratch:
        folder, _ = export_folder(source, Path(scratch) / repo_id.rsplit("/", 1)[1], **options)
        api = huggingface_hub.HfApi(token=token)
        try:
            address = api.create_repo(repo_id, private=private, exist_ok=True)
            api.upload_folder(
                repo_id=repo_id, folder_path=folder, revision=revision, allow_patterns=list(FILES),
                commit_message="Upload with s3prl-plugins",
            )  # fmt: skip
        except Exception as error:  # as above
            raise CheckpointError(
                f"the Hugging Face Hub does not take {repo_id!r} ({_reason(error)}); check name, network and token"
            ) from error
    return str(address)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__
