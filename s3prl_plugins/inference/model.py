"""A trained model that answers for recordings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor, nn

from s3prl_plugins.errors import AudioError, ConfigError, CorpusError, nearest
from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.heads.contract import Reader
from s3prl_plugins.heads.task import TaskConfig, build_reader
from s3prl_plugins.heads.verification import SHORTEST
from s3prl_plugins.inference.answers import Answers, Embedding, Verification
from s3prl_plugins.inference.audio import Audio, hear, name_of
from s3prl_plugins.inference.interpret import Heard, answer_of
from s3prl_plugins.inference.windows import OVERLAP, features, joint_features
from s3prl_plugins.multitask.joint import JointModel

__all__ = ["Model"]

WINDOW = 60.0
"""Seconds above which a recording goes through the encoder in windows."""
BATCH = 16
"""Recordings of a list that go through the encoder together at most."""


_Heard = tuple[str, Tensor | AudioError]
"""A recording's name, and its samples at 16 kHz or why there are none."""


class Model:
    """Encoder and heads, made by `s3prl_plugins.load`.

    Answers do not depend on what else is in a list: recordings that go through the encoder together (`BATCH`, up to
    a window in all) are packed, not padded, so that their states are those of each alone but for rounding (2e-6).

    :param joint: the network.
    :param configs: task -> configuration.
    :param calibration: task -> settings that were chosen on dev: SD's `threshold` and `median`, ASV's `threshold`.
    :param about: where the model comes from, plain data.
    """

    def __init__(
        self,
        joint: JointModel,
        configs: Mapping[str, TaskConfig],
        calibration: Mapping[str, Mapping[str, float]] | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.joint = joint.eval().requires_grad_(False)
        self.tasks = tuple(configs)
        self.calibration = {task: dict(settings) for task, settings in (calibration or {}).items()}
        self.about = dict(about or {})
        self._readers: dict[str, Reader] = {task: build_reader(config, Path()) for task, config in configs.items()}
        self._window: float | None = WINDOW

    @property
    def window(self) -> float | None:
        """Seconds above which a recording goes through the encoder in windows that overlap by 4 s; None: never.

        Attention takes memory with the square of a window's length. Answers of longer recordings depend on it a little.
        """
        return self._window

    @window.setter
    def window(self, seconds: float | None) -> None:
        if seconds is not None and seconds < 2 * OVERLAP:
            raise ConfigError(f"window must be at least {2 * OVERLAP:g} s, found {seconds}; None sets no limit")
        self._window = seconds

    @property
    def device(self) -> torch.device:
        return next(self.joint.parameters()).device

    @overload
    def __call__(
        self, audio: Audio, tasks: Sequence[str] | None = None, *, as_evaluated: bool = False, top: int = 5
    ) -> Answers: ...
    @overload
    def __call__(
        self, audio: list[Audio], tasks: Sequence[str] | None = None, *, as_evaluated: bool = False, top: int = 5
    ) -> list[Answers | AudioError]: ...
    def __call__(
        self,
        audio: Audio | list[Audio],
        tasks: Sequence[str] | None = None,
        *,
        as_evaluated: bool = False,
        top: int = 5,
    ) -> Answers | list[Answers | AudioError]:
        """The answers for one recording, or for each of a list.

        The encoder runs once over a recording, whatever is asked: every task hears it as it lies. Some heads were
        trained on audio that is changed first: 3 dB softer (KS, ASV), silences taken out (ASV), part of a last frame
        left out (SD).

        :param tasks: what to answer; None answers all that the model has heads for.
        :param as_evaluated: let each task hear what evaluation lets it hear, at one pass of the encoder for each sound
            that differs, and never in windows. Then test sets score what evaluation scores with padding `none`.
        :param top: classes that a `Label` names at most.
        :returns: in a list, what cannot be answered is an `AudioError` in its place, and the others go on.
        :raises AudioError: the recording cannot be read, is silent, or too short.
        :raises ConfigError: the model has no head for a task.
        """
        chosen = self._chosen(tasks)
        if not isinstance(audio, list):
            return self._answers(audio, chosen, as_evaluated, top)
        found: list[Answers | AudioError] = []
        for heard in self._batches(audio, together=not as_evaluated):
            found += self._answer_batch(heard, chosen, as_evaluated, top)
        return found

    def verify(self, first: Audio, second: Audio) -> Verification:
        """Whether two recordings are of one speaker; each is heard as the head was evaluated, and encoded once.

        :raises ConfigError: the model has no ASV head.
        :raises AudioError: as for a call.
        """
        return self.compare(self.embed(first), self.embed(second))

    def embed(self, audio: Audio) -> Embedding:
        """What `verify` compares, for a recording that is to be compared more than once.

        :raises ConfigError: the model has no ASV head.
        :raises AudioError: as for a call.
        """
        found = self._answers(audio, self._chosen(["asv"]), as_evaluated=True, top=1).asv
        assert found is not None
        return found

    def compare(self, first: Embedding, second: Embedding) -> Verification:
        """Whether two embeddings of `embed` are of one speaker."""
        score = float(torch.dot(torch.tensor(first.vector), torch.tensor(second.vector)))
        threshold = self.calibration.get("asv", {}).get("threshold")
        return Verification(score, threshold, None if threshold is None else score >= threshold)

    def _chosen(self, tasks: Iterable[str] | None) -> tuple[str, ...]:
        chosen = self.tasks if tasks is None else tuple(tasks)
        for task in chosen:
            if task not in self.tasks:
                raise ConfigError(f"this model has no head for task {task!r}; {nearest(task, self.tasks)}")
        return chosen

    def _answers(self, audio: Audio, tasks: Sequence[str], as_evaluated: bool, top: int) -> Answers:
        return self._answer(name_of(audio), hear(audio), tasks, as_evaluated, top)

    def _answer(self, name: str, wave: Tensor, tasks: Sequence[str], as_evaluated: bool, top: int) -> Answers:
        found: dict[str, Any] = {}
        for sound, listeners in self._sounds(wave, tasks, as_evaluated):
            features = self._features(name, sound, listeners, None if as_evaluated else self.window)
            found |= self._read(features, top)
        return Answers(name, len(wave) / SAMPLE_RATE, **found)

    def _read(self, features: Mapping[str, Tensor], top: int) -> dict[str, Any]:
        """What each task's head says of its features (frames, dim)."""
        found, shift = {}, self.joint.trunk.rate / SAMPLE_RATE
        for task, feature in features.items():
            heard = Heard(feature, shift, top, self.calibration.get(task, {}), self._slots(task))
            with torch.no_grad():
                found[task] = answer_of(task, self.joint.heads[task], heard)
        return found

    def _batches(self, audio: Sequence[Audio], together: bool) -> Iterator[list[_Heard]]:
        """Recordings, heard, in groups that one pass of the encoder takes."""
        batch: list[_Heard] = []
        room = (self.window or WINDOW) * SAMPLE_RATE
        for item in audio:
            try:
                one: _Heard = (name_of(item), hear(item))
            except AudioError as error:
                one = (name_of(item), error)
            length = sum(len(wave) for _, wave in [*batch, one] if isinstance(wave, Tensor))
            if batch and (not together or len(batch) == BATCH or length > room):
                yield batch
                batch = []
            batch.append(one)
        if batch:
            yield batch

    def _answer_batch(
        self, batch: Sequence[_Heard], tasks: Sequence[str], as_evaluated: bool, top: int
    ) -> list[Answers | AudioError]:
        waves = [wave for _, wave in batch if isinstance(wave, Tensor)]
        joint: Iterator[dict[str, Tensor]] | None = None
        if len(waves) > 1:
            # One that is too short for the encoder: each alone, and that one has its error.
            with contextlib.suppress(CorpusError):
                on_device = [wave.to(self.device) for wave in waves]
                joint = iter(joint_features(self.joint.trunk, self._mixes(tasks), on_device))
        found: list[Answers | AudioError] = []
        for name, wave in batch:
            try:
                if isinstance(wave, AudioError):
                    raise wave
                if joint is None:
                    found.append(self._answer(name, wave, tasks, as_evaluated, top))
                else:
                    features = self._long_enough(name, wave, next(joint))
                    found.append(Answers(name, len(wave) / SAMPLE_RATE, **self._read(features, top)))
            except AudioError as error:
                found.append(error)
        return found

    def _mixes(self, tasks: Sequence[str]) -> dict[str, nn.Module]:
        return {task: self.joint.featurizers[task] for task in tasks}

    def _slots(self, task: str) -> tuple[str, ...]:
        labels = self.joint.labels[task]
        return tuple(labels["slots"] if task == "sf" else labels if task == "ic" else ())

    def _sounds(self, wave: Tensor, tasks: Sequence[str], as_evaluated: bool) -> list[tuple[Tensor, list[str]]]:
        """What is to be encoded, and for which tasks; what several of them hear is there once."""
        if not as_evaluated:
            return [(wave, list(tasks))]
        sounds: list[tuple[Tensor, list[str]]] = []
        for task in tasks:
            sound = self._readers[task].heard(wave)
            listeners = next((listeners for known, listeners in sounds if torch.equal(known, sound)), None)
            if listeners is None:
                sounds.append((sound, listeners := []))
            listeners.append(task)
        return sounds

    def _features(self, name: str, sound: Tensor, tasks: list[str], window: float | None) -> dict[str, Tensor]:
        try:
            found = features(self.joint.trunk, self._mixes(tasks), sound.to(self.device), window)
        except CorpusError as error:
            raise AudioError(f"{name}: {len(sound)} samples are too short for the encoder; record more") from error
        return self._long_enough(name, sound, found)

    def _long_enough(self, name: str, sound: Tensor, found: dict[str, Tensor]) -> dict[str, Tensor]:
        if "asv" in found and len(found["asv"]) < SHORTEST:
            least = SHORTEST * self.joint.trunk.rate / SAMPLE_RATE
            raise AudioError(
                f"{name}: task 'asv' needs about {least:.2f} s, found {len(sound) / SAMPLE_RATE:.2f}; "
                "leave it out of the tasks or record more"
            )
        return found
