"""How much of everything: the sizes of mini-SUPERB."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SIZES", "Size"]


@dataclass(frozen=True)
class Size:
    """Counts; triples are train, dev, test."""

    libri_speakers: tuple[int, int, int]
    libri_sentences: tuple[int, int, int]
    """Per split, spread over its speakers."""
    ks_speakers: tuple[int, int, int]
    ks_clips: tuple[int, int, int]
    """Per class."""
    vox_speakers: tuple[int, int]
    """Of VoxCeleb1's dev and test folders."""
    vox_utterances: tuple[int, int, int]
    """Per speaker, in SID's train, dev and test."""
    vox_dev_trial_speakers: int
    """Speakers of the dev folder that have trials in ASV's dev list."""
    vox_trials: tuple[int, int]
    """ASV's dev and test trials, half of them of one speaker."""
    mixtures: tuple[int, int, int]
    fsc_speakers: tuple[int, int, int]
    fsc_repeats: tuple[int, int, int]
    """Times every intent is said."""
    snips_sentences: tuple[int, int, int]
    """Per split, spread over its speakers."""
    emotion_repeats: tuple[int, int]
    """Utterances per speaker and emotion: in Session 1, the test set of the first fold, and in each of the others."""
    documents: int
    queries: tuple[int, int]
    """QUESST's dev and eval queries."""


SIZES: dict[str, Size] = {
    # Every class and split, in seconds: for tests.
    "tiny": Size(
        libri_speakers=(3, 2, 2),
        libri_sentences=(8, 4, 4),
        ks_speakers=(2, 1, 2),
        ks_clips=(2, 1, 1),
        vox_speakers=(4, 2),
        vox_utterances=(2, 1, 1),
        vox_dev_trial_speakers=2,
        vox_trials=(4, 8),
        mixtures=(4, 2, 2),
        fsc_speakers=(2, 1, 1),
        fsc_repeats=(1, 1, 1),
        snips_sentences=(8, 4, 4),
        emotion_repeats=(1, 1),
        documents=6,
        queries=(2, 2),
    ),
    "mini": Size(
        libri_speakers=(16, 6, 6),
        libri_sentences=(200, 32, 32),
        ks_speakers=(30, 8, 16),
        ks_clips=(40, 7, 26),
        vox_speakers=(30, 10),
        vox_utterances=(12, 2, 8),
        vox_dev_trial_speakers=8,
        vox_trials=(600, 800),
        mixtures=(60, 12, 20),
        fsc_speakers=(16, 5, 10),
        fsc_repeats=(12, 3, 17),
        snips_sentences=(100, 20, 32),
        emotion_repeats=(38, 16),
        documents=46,
        queries=(24, 24),
    ),
    "small": Size(
        libri_speakers=(64, 16, 16),
        libri_sentences=(2400, 200, 200),
        ks_speakers=(120, 30, 60),
        ks_clips=(300, 40, 80),
        vox_speakers=(100, 20),
        vox_utterances=(24, 6, 12),
        vox_dev_trial_speakers=20,
        vox_trials=(4000, 6000),
        mixtures=(600, 80, 120),
        fsc_speakers=(60, 10, 20),
        fsc_repeats=(160, 20, 60),
        snips_sentences=(1600, 160, 240),
        emotion_repeats=(100, 60),
        documents=300,
        queries=(60, 60),
    ),
}
