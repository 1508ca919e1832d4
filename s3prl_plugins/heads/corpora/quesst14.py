"""QUESST 2014 (Anguera et al., MediaEval 2014) for query by example, by the language lists in its scoring folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import numpy as np
import soundfile
import torch
from torch import Tensor

from s3prl_plugins.compat.sox import apply_effects_tensor
from s3prl_plugins.errors import ConfigError, CorpusError
from s3prl_plugins.heads.audio import header_of
from s3prl_plugins.heads.contract import Example
from s3prl_plugins.heads.corpora.files import children
from s3prl_plugins.heads.corpora.index import GAIN, has_folder, read_fields
from s3prl_plugins.problems import Problems
from s3prl_plugins.superb.cards import card
from s3prl_plugins.superb.mtwv import GroundTruth

__all__ = ["QbeReader"]

_CURE = "unpack quesst14Database.tgz again, or set corpus.path in the config"
_EFFECTS = (("channels", "1"), ("rate", "16000"), ("gain", "-3.0"))
"""What s3prl does to the audio; QUESST's is of 8 kHz."""


class QbeReader:
    """Documents are the utterances of the split `train`, though nothing is trained; dev and test are spoken queries."""

    @dataclass(frozen=True)
    class Config:
        """Where the corpus lies and what of it is used."""

        path: Path = Path("quesst14/quesst14Database")
        """Folder of the audio folders and of `scoring`, relative to the corpus root."""
        languages: tuple[str, ...] = ("nnenglish",)
        """Languages searched, as the lists name them; SUPERB takes non-native English alone."""

        def __post_init__(self) -> None:
            if not self.languages:
                raise ConfigError("languages must name at least one; SUPERB's is nnenglish")

    def __init__(self, config: Config, root: Path) -> None:
        self.card = card("qbe")
        self._config, self._root = config, root / config.path
        self._parts = {self.card.train: "utterances", self.card.dev: "dev", self.card.test: "eval"}

    def examples(self, split: str, problems: Problems) -> list[Example]:
        """Documents or queries in the order of their list, which is the order of s3prl's features."""
        if not has_folder(self._root, problems):
            return []
        path = self._list(split)
        found: dict[str, Example] = {}
        for name, audio in self._listed(split, problems):
            draft = Example(name, audio, 0.0, None)
            if draft.name in found:
                problems.add(path, f"utterance ids must be unique, found {draft.name!r} twice", "name each once")
            elif length := _seconds(draft.path, problems):
                found[draft.name] = replace(draft, seconds=length)
        if not found:
            problems.add(path, f"no usable utterance of {', '.join(self._config.languages)} was found", _CURE)
        return list(found.values())

    def truth(self, split: str, problems: Problems) -> GroundTruth:
        """Which documents hold which query of a split, in all languages, by NIST's three files."""
        folder = self._truth(split)
        documents = _names(folder, "ecf.xml", "excerpt", "audio_filename", problems)
        targets: dict[str, set[str]] = {
            query: set() for query in _names(folder, "tlist.xml", "term", "termid", problems)
        }
        path = _only(folder, "rttm", problems)
        for kind, *fields in read_fields(path, 6, problems) if path and documents and targets else []:
            document, query = fields[0], fields[4].split()[0]
            if kind != "LEXEME":
                continue
            if query in targets and document in documents:
                targets[query].add(document)
            else:
                rule = (
                    f"a LEXEME line must name a document of the ecf and a query of the tlist, found {document} {query}"
                )
                problems.add(path, rule, _CURE)
        return GroundTruth(frozenset(documents), {query: frozenset(held) for query, held in targets.items()})

    def labels(self, problems: Problems) -> None:
        """There is nothing to learn; what the lists name and the ground truths lack goes to `problems`."""
        for split in (self.card.dev, self.card.test):
            truth = self.truth(split, problems)
            for part, known in ((split, truth.targets.keys()), (self.card.train, truth.documents)):
                for name, _ in self._listed(part, problems) if known else ():
                    if name not in known:
                        rule = f"what the lists name must be in the ground truth, found {name} of {part} missing"
                        problems.add(self._truth(split), rule, _CURE)

    def waveform(self, example: Example, generator: torch.Generator | None) -> Tensor:
        """As s3prl: one channel, 16 kHz, 3 dB quieter."""
        try:
            samples, rate = soundfile.read(os.fsencode(example.path), dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            reason = getattr(error, "error_string", str(error))
            raise CorpusError(f"{example.path}: audio cannot be read ({reason}); replace the file") from error
        if not np.isfinite(samples).all():
            raise CorpusError(f"{example.path}: audio holds NaN or infinite samples; replace the file")
        wave: Tensor = apply_effects_tensor(torch.from_numpy(samples.T), rate, _EFFECTS)[0][0]
        return wave

    def heard(self, wave: Tensor) -> Tensor:
        return wave * GAIN

    def variant(self, example: Example) -> str:
        return ", ".join(" ".join(effect) for effect in _EFFECTS)

    def crop(self, example: Example) -> float | None:
        return None

    def files(self) -> Sequence[Path]:
        truths = [self._truth(split) for split in (self.card.dev, self.card.test)]
        return [self._root, *(self._list(split) for split in self._parts), *truths]

    def _listed(self, split: str, problems: Problems) -> Iterator[tuple[str, Path]]:
        """Name and audio of what a list has in the chosen languages; its paths begin with the name of the database's folder."""
        for place, language in read_fields(self._list(split), 2, problems):
            if language in self._config.languages:
                yield PurePosixPath(place).stem, self._root.joinpath(*PurePosixPath(place).parts[1:])

    def _list(self, split: str) -> Path:
        return self._root / "scoring" / f"language_key_{self._parts[self.card.split(split)]}.lst"

    def _truth(self, split: str) -> Path:
        return self._root / "scoring" / f"groundtruth_quesst14_{self._parts[self.card.split(split)]}"


def _seconds(path: Path, problems: Problems) -> float:
    """Length from the header, of any rate; 0 if a fault was reported instead."""
    header = header_of(path, problems)
    return float(header.frames) / float(header.samplerate) if header is not None else 0.0


def _only(folder: Path, ending: str, problems: Problems) -> Path | None:
    """The one file of a ground truth with an ending."""
    found = [path for path in children(folder, problems, _CURE) if path.name.endswith(f".{ending}")]
    if len(found) != 1:
        problems.add(folder, f"the ground truth needs one .{ending} file, found {len(found)}", _CURE)
        return None
    return found[0]


def _names(folder: Path, ending: str, tag: str, attribute: str, problems: Problems) -> set[str]:
    """An attribute of all elements of one tag."""
    path = _only(folder, ending, problems)
    if path is None:
        return set()
    try:
        elements = ElementTree.parse(path).getroot().iter(tag)
        names = {PurePosixPath(element.attrib[attribute]).stem for element in elements}
    except (ElementTree.ParseError, KeyError, OSError) as error:
        problems.add(path, f"file must be XML whose <{tag}> elements have {attribute} ({error})", _CURE)
        return set()
    if not names:
        problems.add(path, f"file must have <{tag}> elements, found none", _CURE)
    return names
