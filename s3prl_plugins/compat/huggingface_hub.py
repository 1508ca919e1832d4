"""huggingface_hub 1.0 removed `HfFolder` and `Repository`, which s3prl's runner imports at its top."""

from __future__ import annotations

from types import ModuleType

from s3prl_plugins.compat.repair import Repair
from s3prl_plugins.errors import UserError

__all__ = ["REPAIRS"]


class HfFolder:
    """The access token of the Hugging Face Hub."""

    @staticmethod
    def get_token() -> str | None:
        import huggingface_hub

        return huggingface_hub.get_token()

    @staticmethod
    def save_token(token: str) -> None:
        import huggingface_hub

        huggingface_hub.login(token=token)

    @staticmethod
    def delete_token() -> None:
        import huggingface_hub

        huggingface_hub.logout()


class Repository:
    """A git clone of a repository on the Hub; only its absence can be told."""

    def __init__(self, *_: object, **__: object) -> None:
        raise UserError(
            "--push_to_hf_hub needs huggingface_hub.Repository, which is gone since huggingface_hub 1.0; "
            "upload the experiment folder with: hf upload NAME EXPDIR"
        )


def _mend_names(huggingface_hub: ModuleType) -> bool:
    added = {"HfFolder": HfFolder, "Repository": Repository}
    missing = {name: value for name, value in added.items() if not hasattr(huggingface_hub, name)}
    vars(huggingface_hub).update(missing)
    return bool(missing)


REPAIRS = (
    Repair(
        "huggingface_hub.HfFolder",
        "huggingface_hub",
        "removed with Repository in huggingface_hub 1.0",
        "HfFolder over get_token and login; Repository says what to use instead",
        _mend_names,
    ),
)
