"""numpy 1.24 removed `numpy.int` and `numpy.complex`; four modules of s3prl use them."""

from __future__ import annotations

from types import ModuleType

from s3prl_plugins.compat.repair import Repair

__all__ = ["REPAIRS"]

_USERS = {
    "s3prl.upstream.wavlm.WavLM": "int",
    "s3prl.upstream.wav2vec2.wav2vec2_model": "int",
    "s3prl.upstream.lighthubert.lighthubert.lighthubert": "int",
    "s3prl.utility.audio": "complex",
}


def _mend_alias(module: ModuleType) -> bool:
    """Give the module its own view of numpy, with the aliases; numpy itself stays as it is."""
    numpy = module.np
    missing = {"int": int, "complex": complex}
    missing = {name: value for name, value in missing.items() if not hasattr(numpy, name)}
    if missing:
        view = ModuleType("numpy", numpy.__doc__)
        vars(view).update(vars(numpy), **missing)
        vars(module).update(np=view)
    return bool(missing)


REPAIRS = tuple(
    Repair(f"{user}:np.{alias}", user, "removed in numpy 1.24", f"{alias}, in this module only", _mend_alias)
    for user, alias in _USERS.items()
)
