"""Symbols of a CTC head, in the order of its outputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["Vocabulary"]


class Vocabulary:
    """Special symbols, then units; the first symbol of all is CTC's blank (id 0).

    :param special: blank and its like, e.g. `("<pad>", "<eos>", "<unk>")`.
    :param units: what transcripts are made of.
    :param eos: the special symbol that ends every label, as in s3prl's legacy experts; never part of an answer.
    :param unknown: the special symbol that stands for a unit outside the vocabulary.
    """

    def __init__(self, special: Sequence[str], units: Sequence[str], eos: str, unknown: str) -> None:
        self.symbols = (*special, *units)
        self._ids = {symbol: index for index, symbol in enumerate(self.symbols)}
        self._eos = self._ids[eos]
        self._unknown = self._ids[unknown]

    def __len__(self) -> int:
        return len(self.symbols)

    def ids(self, units: Iterable[str]) -> list[int]:
        """The label of a transcript: its units and the end of sentence."""
        return [*(self._ids.get(unit, self._unknown) for unit in units), self._eos]

    def units(self, ids: Iterable[int]) -> list[str]:
        """The symbols of a path whose repeats are merged, without blanks and ends of sentence."""
        return [self.symbols[index] for index in ids if index not in (0, self._eos)]
