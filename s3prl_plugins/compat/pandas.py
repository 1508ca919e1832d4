"""pandas 2.0 removed `Series.iteritems`, with which s3prl reads the tables of its corpora."""

from __future__ import annotations

from types import ModuleType

from s3prl_plugins.compat.repair import Repair

__all__ = ["REPAIRS"]


def _mend_iteritems(module: ModuleType) -> bool:
    series = module.pd.Series
    missing = not hasattr(series, "iteritems")
    if missing:
        series.iteritems = series.items
    return missing


REPAIRS = (
    Repair(
        "pandas.Series.iteritems", "s3prl.dataio.corpus.base", "removed in pandas 2.0", "Series.items", _mend_iteritems
    ),
)
