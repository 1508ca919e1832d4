"""Words to phones by lexicon files of `WORD PH PH ...` lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from s3prl_plugins.heads.corpora.files import read_lines
from s3prl_plugins.problems import Problems
from s3prl_plugins.superb.units import PHONES

__all__ = ["Lexicon"]

_KNOWN = frozenset(PHONES)


class Lexicon:
    """Pronunciations; a word's first line in the first file that has it counts, as in s3prl's libriphone corpus."""

    def __init__(self, paths: Sequence[Path], problems: Problems) -> None:
        self._files = ", ".join(map(str, paths))
        self._phones: dict[str, list[str]] = {}
        self._reported: set[str] = set()
        self._complete = True
        for path in paths:
            lines = read_lines(path, problems, "put the lexicon there or mend corpus.lexicon")
            self._complete = self._complete and bool(lines)
            for line in lines:
                word, *phones = line.split()
                self._phones.setdefault(word.upper(), phones)

    def phones(self, words: Iterable[str], where: str, problems: Problems) -> list[str] | None:
        """Phones of upper-case words; None if one has no usable pronunciation. Each such word is reported once, and
        none if a whole lexicon is missing, which was reported before.

        :param where: utterance that the words are from.
        """
        result: list[str] = []
        usable = True
        for word in words:
            fault = self._fault(word)
            if fault and self._complete and word not in self._reported:
                self._reported.add(word)
                problems.add(self._files, f"{fault} (word {word!r} of {where})", f"add a line '{word} PH PH ...'")
            usable = usable and not fault
            result += self._phones.get(word, [])
        return result if usable else None

    def _fault(self, word: str) -> str:
        if not self._phones.get(word):
            return "the lexicon must have every word of the transcripts, one is missing"
        strange = [phone for phone in self._phones[word] if phone not in _KNOWN]
        return f"pronunciations are made of s3prl's {len(PHONES)} phones, found {strange[0]!r}" if strange else ""
