"""What may be called better or worse: one difference, or a paired test over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from s3prl_plugins.report.scores import COLUMNS, Row, ScoreTable

__all__ = ["LEVEL", "Comparison", "Verdict", "compare", "paired_p"]

LEVEL = 0.05

Verdict = Literal["better", "worse", "equal", "unclear"]


@dataclass(frozen=True)
class Comparison:
    """One cell against the cell of another row."""

    verdict: Verdict
    """`unclear`: there are several seeds and the test does not tell, or cannot be made."""
    direction: Verdict
    """By the mean difference alone."""
    seeds: int
    """Seeds that have both values."""
    p: float | None


def paired_p(pairs: Sequence[tuple[Decimal, Decimal]]) -> float | None:
    """Two-sided p of the paired t-test over seeds (`scipy.stats.ttest_rel`).

    Its assumption is that differences over seeds are normal. The exact sign-flip test assumes less, but with n seeds its
    smallest p is 2 / 2^n: 0.25 for three, 0.0625 for five, so that it could never tell anything at the numbers of seeds
    one can afford.

    :returns: None with fewer than two pairs, and where every seed has the same difference: without spread there is no
        test. (On a small test set one utterance more in each of three seeds is no rarity.)
    """
    if len({one - two for one, two in pairs}) < 2:
        return None
    from scipy.stats import ttest_rel

    return float(ttest_rel([float(one) for one, _ in pairs], [float(two) for _, two in pairs]).pvalue)


def compare(table: ScoreTable, row: Row, other: Row, column: str) -> Comparison | None:
    """Whether `row` is better than `other` in a column; None where no seed has both.

    In a table of one seed that is the sign of the difference. In a table of several it takes the paired test at `LEVEL`,
    cell by cell, and a cell that only one seed has stays unclear.
    """
    pairs = table.pairs(row, other, column)
    if not pairs:
        return None
    p = paired_p(pairs)
    difference = sum(one - two for one, two in pairs)
    direction: Verdict = "equal"
    if difference:
        direction = "better" if (difference > 0) == COLUMNS[column].metric.higher_is_better else "worse"
    told = len(table.seeds) == 1 or all(one == two for one, two in pairs) or (p is not None and p < LEVEL)
    return Comparison(direction if told else "unclear", direction, len(pairs), p)
