"""Audio and transcripts of LibriSpeech's folders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from s3prl_plugins.errors import ConfigError, nearest
from s3prl_plugins.heads.corpora.files import find_audio, read_lines
from s3prl_plugins.problems import Problems
from s3prl_plugins.superb.cards import TaskCard

__all__ = ["LibriSpeech", "Utterance"]

_COMPLETE = "complete the corpus, or mend corpus.path and corpus.splits"


@dataclass(frozen=True)
class Utterance:
    """One line of a `.trans.txt` and its audio."""

    name: str
    path: Path
    transcript: Path
    words: tuple[str, ...]
    """Upper case, at least one."""

    @property
    def speaker(self) -> str:
        return f"LibriSpeech/{self.name.split('-')[0]}"


class LibriSpeech:
    """The folders that make up each split of a task.

    :raises ConfigError: `splits` names a split that the task does not have.
    """

    def __init__(self, card: TaskCard, path: Path, splits: Mapping[str, Sequence[str]]) -> None:
        for name in splits:
            if name not in card.splits:
                raise ConfigError(f"unknown split corpus.splits.{name} for {card.name}; {nearest(name, card.splits)}")
        self._folders = {name: [path / part for part in parts] for name, parts in splits.items()}

    @property
    def folders(self) -> list[Path]:
        return sorted({folder for folders in self._folders.values() for folder in folders})

    def utterances(self, split: str, problems: Problems) -> list[Utterance]:
        """Utterances that have both audio and words, sorted by id within each of the split's folders."""
        if split not in self._folders:
            raise ConfigError(
                f"corpus.splits has no {split!r}, only {', '.join(self._folders)}; add it with its folders"
            )
        audio = find_audio(self._folders[split], ".flac", problems, _COMPLETE)
        transcripts = _transcripts({path.parent for path in audio.values()}, problems)
        for name, (transcript, _) in transcripts.items():
            if name not in audio:
                problems.add(transcript.parent / f"{name}.flac", "audio file is missing", _COMPLETE)
        read = {transcript.parent for transcript, _ in transcripts.values()}
        found = []
        for name, path in audio.items():
            transcript, words = transcripts.get(name, (path, ()))
            if words:
                found.append(Utterance(name, path, transcript, words))
            elif path.parent in read:
                problems.add(path, "audio must have words in its chapter's .trans.txt", "add them or remove the file")
        return found


def _transcripts(chapters: Iterable[Path], problems: Problems) -> dict[str, tuple[Path, tuple[str, ...]]]:
    found: dict[str, tuple[Path, tuple[str, ...]]] = {}
    for chapter in sorted(chapters):
        path = chapter / f"{chapter.parent.name}-{chapter.name}.trans.txt"
        for line in read_lines(path, problems, _COMPLETE):
            name, *words = line.split()
            if name in found:
                problems.add(path, f"an utterance must have one transcript, {name!r} has two", "remove one of them")
            found[name] = (path, tuple(word.upper() for word in words))
    return found
