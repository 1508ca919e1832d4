"""The speech of a pretraining: what it trains on, what only validates, and crops of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tqdm import tqdm

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.pretrain.config import SpeechConfig
from s3prl_plugins.pretrain.speech import Crops, Frames, PairedCrops, Utterance, find_speech, split_speech

__all__ = ["Material", "gather"]


@dataclass(frozen=True)
class Material:
    """What `gather` found."""

    config: SpeechConfig
    frames: Frames
    paired: bool
    utterances: Sequence[Utterance]
    train: Sequence[int]
    """Indices of utterances."""
    held_out: Sequence[int]

    def crops(self, chosen: Sequence[int], seed: int) -> Crops:
        """Crops of at most `longest` seconds, in batches of at most `batch`.

        :param chosen: `train` or `held_out`.
        """
        longest = self.frames.count(round(self.config.longest * SAMPLE_RATE))
        kind = PairedCrops if self.paired else Crops
        return kind(self.utterances, chosen, self.frames, self.config.batch, longest, seed)

    def tell(self) -> None:
        """How much there is, on the terminal."""
        seconds = sum(self.utterances[index].samples for index in self.train) / SAMPLE_RATE
        tqdm.write(f"{len(self.train)} utterances, {seconds / 3600:.2f} h to train on; {len(self.held_out)} held out")


def gather(config: SpeechConfig, frames: Frames, seed: int, paired: bool = True) -> Material:
    """Find the speech that a configuration names, and split it.

    :param paired: every batch must hold two utterances.
    :raises ConfigError: too little is left to train on or to validate on.
    :raises CorpusError: as `find_speech`.
    """
    fewest = 2 if paired else 1
    utterances = find_speech(config.folders, frames, max(2, frames.count(round(config.shortest * SAMPLE_RATE))))
    train, held_out = split_speech(utterances, config.held_out, seed)
    if min(len(train), len(held_out)) < fewest:
        raise ConfigError(
            f"speech.held_out is {config.held_out} and leaves {len(train)} utterances to train on, {len(held_out)} "
            f"to validate on; {'two are' if paired else 'one is'} needed of each: change it or add speech"
        )
    return Material(config, frames, paired, utterances, train, held_out)
