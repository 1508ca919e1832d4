"""What s3prl's own experts ask of a configuration, for the networks and corpora of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.heads.task import TaskConfig

__all__ = ["ASV_WIDTH", "NAMES", "Place", "expert_settings", "label_files"]

NAMES = {
    "asr": "asr", "pr": "ctc", "sf": "ctc", "sd": "diarization", "er": "emotion", "ic": "fluent_commands",
    "ks": "speech_commands", "asv": "sv_voxceleb1", "sid": "voxceleb1",
}  # fmt: skip
"""Task -> s3prl's `-d`."""
ASV_WIDTH = 512
"""Width of the time-delay layers of our ASV head, and so of everything in s3prl's expert but the last of these layers."""


@dataclass(frozen=True)
class Place:
    """Where an expert finds what it reads."""

    corpora: Path
    """Folder that the task's relative corpus paths start from."""
    labels: Path
    """Folder of `label_files`."""
    batch: int
    """Utterances evaluated at once."""

    def __call__(self, path: Path) -> str:
        return str((self.corpora / path).absolute())


def label_files(task: str, labels: Any) -> dict[str, str]:
    """The files, name -> content, by which s3prl's CTC experts number their outputs, in the order of the head's labels."""
    if task == "asr":
        return {"char.dict": "".join(f"{letter} 1\n" for letter in labels)}
    if task == "pr":
        return {"phoneme.txt": "\n".join(labels)}
    if task == "sf":
        return {"character.txt": "\n".join(labels["characters"]), "slots.txt": "\n".join(["O", *labels["slots"]])}
    return {}


def expert_settings(task: TaskConfig, place: Place) -> dict[str, Any]:
    """`downstream_expert` of the configuration of s3prl's expert.

    Data are read in the main process.

    :raises CheckpointError: the expert cannot do what the task was trained with.
    """
    return _SETTINGS[task.task](task, place)


def _batches(task: TaskConfig, place: Place) -> dict[str, int]:
    return {"train_batch_size": task.train_batch.size, "eval_batch_size": place.batch, "num_workers": 0}


def _samples(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * SAMPLE_RATE)


def _utterance_level(task: TaskConfig, **data: Any) -> dict[str, Any]:
    network = {"projector_dim": task.head.hidden_size, "select": "UtteranceLevel"}
    return {"datarc": data, "modelrc": {**network, "UtteranceLevel": {"pooling": "MeanPooling"}}}


def _ks(task: TaskConfig, place: Place) -> dict[str, Any]:
    roots = {
        "speech_commands_root": place(task.corpus.path),
        "speech_commands_test_root": place(task.corpus.test_path),
    }
    return _utterance_level(task, **roots, batch_size=place.batch, num_workers=0)


def _ic(task: TaskConfig, place: Place) -> dict[str, Any]:
    return _utterance_level(task, file_path=place(task.corpus.path), **_batches(task, place))


def _er(task: TaskConfig, place: Place) -> dict[str, Any]:
    corpus = task.corpus
    return _utterance_level(
        task, root=place(corpus.path), meta_data=place(corpus.meta_data), test_fold=corpus.fold, pre_load=False,
        valid_ratio=corpus.valid_ratio, **_batches(task, place),
    )  # fmt: skip


def _sid(task: TaskConfig, place: Place) -> dict[str, Any]:
    corpus = task.corpus
    return _utterance_level(
        task, file_path=place(corpus.path), meta_data=place(corpus.meta_data),
        max_timestep=_samples(corpus.max_seconds), **_batches(task, place),
    )  # fmt: skip


def _asv(task: TaskConfig, place: Place) -> dict[str, Any]:
    corpus, head = task.corpus, task.head
    if max(head.embedding_size, head.hidden_size) > ASV_WIDTH:
        raise CheckpointError(
            f"s3prl's expert of 'asv' can be {ASV_WIDTH} wide here, found head.hidden_size {head.hidden_size} and "
            f"head.embedding_size {head.embedding_size}; it cannot hold this head"
        )
    if not corpus.silence_removal:
        raise CheckpointError(
            "s3prl's expert of 'asv' removes silences, found corpus.silence_removal false; it would score otherwise"
        )
    data = {
        "vad_config": {"min_sec": _samples(corpus.min_seconds)},
        "file_path": place(corpus.path),
        "train_meta_data": "",
        "dev_meta_data": place(corpus.dev_trials),
        "test_meta_data": place(corpus.test_trials),
        "max_timestep": _samples(corpus.max_seconds),
        **_batches(task, place),
    }
    network = {"module": "XVector", "input_dim": ASV_WIDTH, "agg_module": "SP"}
    vector = {"agg_dim": head.aggregation_size, "dropout_p": 0.0, "batch_norm": False}
    loss = {"ObjectiveLoss": "AMSoftmaxLoss", "LossConfig": {"AMSoftmaxLoss": {"s": head.scale, "m": head.margin}}}
    model = {**network, "utter_module": "UtteranceExtractor", "module_config": {"XVector": vector}, **loss}
    return {"datarc": data, "modelrc": model}


def _recurrent(task: TaskConfig) -> dict[str, Any]:
    layers = len(task.head.hidden_dims)
    network = {
        "total_rate": -1, "module": "LSTM", "bidirection": True, "dim": list(task.head.hidden_dims),
        "dropout": [task.head.dropout] * layers, "layer_norm": [False] * layers, "proj": [False] * layers,
        "sample_rate": [1] * layers, "sample_style": "concat",
    }  # fmt: skip
    return {"project_dim": task.head.project_dim, "select": "RNNs", "RNNs": network}


def _asr(task: TaskConfig, place: Place) -> dict[str, Any]:
    data = {
        **{split: list(folders) for split, folders in task.corpus.splits.items()},
        **_batches(task, place),
        "batch_size": task.train_batch.size,
        "libri_root": place(task.corpus.path),
        "bucket_file": place(task.corpus.path / "len_for_bucket"),
        "dict_path": str(place.labels / "char.dict"),
        "zero_infinity": True,
        "decoder_args": {"decoder_type": "None"},
    }
    return {"datarc": data, "modelrc": _recurrent(task)}


def _ctc(task: TaskConfig, place: Place, corpus: Mapping[str, Any], text: Mapping[str, str]) -> dict[str, Any]:
    given = {"path": place(task.corpus.path), "bucketing": True, "batch_size": task.train_batch.size, "num_workers": 0}
    return {
        "corpus": {**corpus, **given},
        "text": {name: str(place.labels / value) if name.endswith("_file") else value for name, value in text.items()},
        "metric": [metric.name for metric in task.card.metrics],
        "metric_higher_better": task.card.best_metric.higher_is_better,
        "save_best_on": ["dev"],
    }


def _pr(task: TaskConfig, place: Place) -> dict[str, Any]:
    lexicon = {"name": "libriphone", "lexicon": [place(path) for path in task.corpus.lexicon]}
    corpus = {**lexicon, **{split: list(folders) for split, folders in task.corpus.splits.items()}}
    model = {"project_dim": task.head.project_dim, "zero_infinity": True, "select": "FrameLevel"}
    return {**_ctc(task, place, corpus, {"mode": "word", "vocab_file": "phoneme.txt"}), "model": model}


def _sf(task: TaskConfig, place: Place) -> dict[str, Any]:
    speakers = {**type(task.corpus)(task.corpus.path).speakers, **task.corpus.speakers}
    corpus = {"name": "snips", "train": ["train"], "dev": ["valid"], "test": ["test"]}
    for theirs, ours in (("train", "train"), ("valid", "dev"), ("test", "test")):
        corpus[f"{theirs}_speakers"] = list(speakers[ours])
    text = {"mode": "character-slot", "vocab_file": "character.txt", "slots_file": "slots.txt"}
    return {**_ctc(task, place, corpus, text), "model": {**_recurrent(task), "zero_infinity": True}}


def _sd(task: TaskConfig, place: Place) -> dict[str, Any]:
    corpus, head = task.corpus, task.head
    data = {"chunk_size": corpus.chunk_frames, "subsampling": 1, "label_delay": 0, "rate": SAMPLE_RATE}
    folders = {f"{part}_dir": place(getattr(corpus, f"{part}_dir")) for part in ("train", "dev", "test")}
    return {
        "datarc": {**data, "num_speakers": head.num_speakers, "frame_shift": head.frame_shift},
        "loaderrc": {
            **folders, "train_batchsize": task.train_batch.size, "eval_batchsize": place.batch, "num_workers": 0,
        },
        "scorerc": {"save_predictions": True},
        "modelrc": {"rnn_layers": head.rnn_layers, "hidden_size": head.hidden_size},
    }  # fmt: skip


_SETTINGS: dict[str, Callable[[TaskConfig, Place], dict[str, Any]]] = {
    "asr": _asr, "asv": _asv, "er": _er, "ic": _ic, "ks": _ks, "pr": _pr, "sd": _sd, "sf": _sf, "sid": _sid,
}  # fmt: skip
