"""Where the real corpora come from and how SUPERB prepares them (s3prl's downstream/docs/superb.md)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SOURCES", "Source"]

_S3PRL = "https://github.com/s3prl/s3prl/tree/main/s3prl"


@dataclass(frozen=True)
class Source:
    """One corpus as published."""

    name: str
    tasks: tuple[str, ...]
    page: str
    """Official page with the downloads or the form to ask for them."""
    steps: tuple[str, ...]
    """What to do, in order; the folder names are those of the shipped configurations, below `corpus_root`."""


SOURCES: tuple[Source, ...] = (
    Source(
        "LibriSpeech",
        ("asr", "pr"),
        "https://www.openslr.org/12",
        (
            "unpack train-clean-100, dev-clean and test-clean into LibriSpeech/",
            "for PR copy librispeech-lexicon-200k-g2p.txt and librispeech-lexicon-allothers-g2p.txt into LibriSpeech/, "
            f"from {_S3PRL}/downstream/ctc/lexicon",
        ),
    ),
    Source(
        "Speech Commands v0.01 and its test set",
        ("ks",),
        "http://download.tensorflow.org/data/speech_commands_v0.01.tar.gz",
        (
            "unpack it into speech_commands/ (it holds no folder of its own)",
            "unpack http://download.tensorflow.org/data/speech_commands_test_set_v0.01.tar.gz into speech_commands_test/",
        ),
    ),
    Source(
        "VoxCeleb1",
        ("sid", "asv"),
        "https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html",
        (
            "join the four dev parts (cat vox1_dev_wav_parta* > dev.zip) and unzip them into VoxCeleb1/dev/ (gives dev/wav/)",
            "unzip vox1_test_wav.zip into VoxCeleb1/test/ (gives test/wav/)",
            f"for SID copy veri_test_class.txt (the page's iden_split.txt) into VoxCeleb1/, from {_S3PRL}/downstream/voxceleb1",
            "for ASV copy voxceleb1_test_v2.txt and dev_meta_data/dev_meta_data.txt into VoxCeleb1/, "
            f"from {_S3PRL}/downstream/sv_voxceleb1",
        ),
    ),
    Source(
        "Libri2Mix for diarization",
        ("sd",),
        "https://github.com/s3prl/LibriMix",
        (
            "in a clone of it: bash generate_librimix_sd.sh CORPORA (fetches LibriSpeech where CORPORA lacks it)",
            "python3 scripts/prepare_diarization.py --target_dir LibriMix --source_dir CORPORA/Libri2Mix/wav16k/max/metadata",
            "the folders it writes must be LibriMix/train, dev and test; wav.scp holds absolute paths, so do this last",
        ),
    ),
    Source(
        "Fluent Speech Commands",
        ("ic",),
        "https://fluent.ai/fluent-speech-commands-a-dataset-for-spoken-language-understanding-research/",
        (
            "unpack it as fluent_speech_commands/, so that data/ and wavs/ lie in it",
            "should the page fail, SUPERB's backup is https://huggingface.co/datasets/leo19941227/fluent_speech_commands",
        ),
    ),
    Source(
        "Audio SNIPS",
        ("sf",),
        "https://drive.google.com/file/d/1oBRZd-PaCKz5iY3eZkXs5OB_ZZ4w7bbG/view",
        (
            "unpack SUPERB's prepared corpus as SNIPS/",
            "or make it from https://github.com/aws-samples/aws-lex-noisy-spoken-language-understanding "
            "(needs sox with mp3): bash s3prl/preprocess/snips_prepare_data.sh CORPUS_ROOT",
        ),
    ),
    Source(
        "IEMOCAP",
        ("er",),
        "https://sail.usc.edu/iemocap/",
        (
            "fill in the form there and unpack the release as IEMOCAP/, so that Session1 ... Session5 lie in it",
            f"copy s3prl's five-fold lists to IEMOCAP/meta_data/, from {_S3PRL}/downstream/emotion/meta_data",
        ),
    ),
    Source(
        "QUESST 2014",
        ("qbe",),
        "https://speech.fit.vutbr.cz/files/quesst14Database.tgz",
        ("unpack it as quesst14/quesst14Database/",),
    ),
)
"""Every corpus of SUPERB's ten tasks."""
