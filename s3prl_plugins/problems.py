"""What is wrong with a corpus: raised at once while training, gathered by `s3prl-plugins corpus check`."""

from __future__ import annotations

from dataclasses import dataclass, field

from s3prl_plugins.errors import CorpusError, shortened

__all__ = ["Problem", "Problems"]


@dataclass(frozen=True)
class Problem:
    """One fault of a corpus."""

    where: str
    """File, folder, or config key."""
    rule: str
    """What must hold, and what was found instead."""
    cure: str
    """What the user can do."""

    def __str__(self) -> str:
        return shortened(f"{self.where}: {self.rule}; {self.cure}")


@dataclass
class Problems:
    """Where readers report faults. `gather=False` (a run) raises the first; `gather=True` (a check) keeps them all."""

    gather: bool = False
    found: list[Problem] = field(default_factory=list)

    def add(self, where: object, rule: str, cure: str) -> None:
        problem = Problem(str(where), rule, cure)
        if not self.gather:
            raise CorpusError(str(problem))
        self.found.append(problem)
