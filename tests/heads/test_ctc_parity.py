"""Our CTC heads against s3prl's legacy experts: weights, logits, losses, answers, files and scores."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch
from ctc_cases import DIM, HIDDEN, LABELS, LENGTHS, PROJECT, SLOTS, TASKS, make_examples, make_features, make_head
from torch import Tensor, nn

import s3prl_plugins  # noqa: F401
from s3prl_plugins.heads.ctc import CtcHead
from s3prl_plugins.superb.cards import CARDS
from s3prl_plugins.superb.units import CHARACTERS, LETTERS, PHONES

NETWORK = {
    "project_dim": PROJECT,
    "zero_infinity": True,
    "select": "RNNs",
    "RNNs": {
        "total_rate": -1,
        "module": "LSTM",
        "bidirection": True,
        "dim": list(HIDDEN),
        "dropout": [0.2, 0.2],
        "layer_norm": [False, False],
        "proj": [False, False],
        "sample_rate": [1, 1],
        "sample_style": "concat",
    },
}
IOB = (
    "BOS PLAY THE B B NOW EOS\tO O artist artist artist O PlayMusic",
    "BOS GO EOS\tO O PlayMusic",
    "BOS IT'S SO EOS\tO object_name object PlayMusic",
    "BOS A & B EOS\tO artist O artist PlayMusic",
)


class Logger:
    def __init__(self) -> None:
        self.scores: dict[str, float] = {}

    def add_scalar(self, name: str, value: float, global_step: int) -> None:
        self.scores[name.split("-")[-1]] = value


def legacy_expert(task: str, folder: Path) -> Any:
    (folder / "files").mkdir()
    if task == "asr":
        from s3prl.downstream.asr.expert import DownstreamExpert

        symbols = folder / "files" / "char.dict"
        symbols.write_text("".join(f"{letter} 1\n" for letter in LETTERS))
        data = {"dict_path": str(symbols), "zero_infinity": True, "decoder_args": {"decoder_type": "None"}}
        return DownstreamExpert(DIM, 320, {"datarc": data, "modelrc": NETWORK}, folder)
    from s3prl.downstream.ctc.expert import DownstreamExpert

    units, slots = folder / "files" / "units.txt", folder / "files" / "slots.txt"
    units.write_text("".join(f"{unit}\n" for unit in (PHONES if task == "pr" else CHARACTERS)))
    slots.write_text("\n".join(["O", *SLOTS]))
    text = {"mode": "word"} if task == "pr" else {"mode": "character-slot", "slots_file": str(slots)}
    config = {
        "corpus": {"name": "x"},
        "text": {**text, "vocab_file": str(units)},
        "model": {**NETWORK, "select": "FrameLevel"} if task == "pr" else NETWORK,
        "metric": [metric.name for metric in CARDS[task].metrics],
        "metric_higher_better": CARDS[task].best_metric.higher_is_better,
    }
    return DownstreamExpert(DIM, 320, config, folder)


def legacy_labels(task: str, expert: Any) -> list[Any]:
    """What the legacy data sets make of the utterances behind `LABELS`."""
    if task == "asr":
        spelled = [" ".join(text.replace(" ", "|")) + " |" for text in LABELS["asr"]]
        return [expert.dictionary.encode_line(text, line_tokenizer=str.split).long().numpy() for text in spelled]
    return [expert.tokenizer.encode(text) for text in (IOB if task == "sf" else LABELS["pr"])]


def copy_weights(expert: nn.Module, head: CtcHead) -> None:
    """Every legacy weight into the head; both have the same ones."""
    if head.card.name == "pr":
        names = {"projector": "hidden_layers.0", "model.linear": "final_proj"}
    else:
        names = {"projector": "proj", "model.rnns": "rnns", "model.linear": "linear"}
    state = {}
    for name, weight in expert.state_dict().items():
        for old, new in names.items():
            if name.startswith(f"{old}."):
                state["network." + new + name.removeprefix(old)] = weight
    head.load_state_dict(state, strict=True)
    assert len(state) == len(list(expert.parameters()))


@pytest.fixture(params=TASKS)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Any, CtcHead]:
    torch.manual_seed(7)
    expert = legacy_expert(request.param, tmp_path)
    with torch.no_grad():
        for parameter in expert.parameters():
            parameter.mul_(3)
    head = make_head(request.param)
    copy_weights(expert, head)
    return request.param, expert.eval(), head


def legacy_log_probs(expert: Any, features: list[Tensor]) -> Tensor:
    lengths = torch.IntTensor([len(frames) for frames in features])
    logits, _ = expert.model(expert.projector(nn.utils.rnn.pad_sequence(features, batch_first=True)), lengths)
    return nn.functional.log_softmax(logits, dim=-1)


def test_labels_are_the_same(pair: tuple[str, Any, CtcHead]) -> None:
    task, expert, head = pair
    ours = [head.vocabulary.ids(head.split(label)) for label in LABELS[task]]
    assert ours == [list(label) for label in legacy_labels(task, expert)]


def test_log_probabilities_are_bit_equal_on_padded_batches(pair: tuple[str, Any, CtcHead]) -> None:
    _, expert, head = pair
    features = make_features()
    log_probs, lengths = head.log_probs(features)
    assert lengths.tolist() == list(LENGTHS)
    assert torch.equal(log_probs, legacy_log_probs(expert, features))


def test_loss_is_equal_on_padded_batches(pair: tuple[str, Any, CtcHead]) -> None:
    """Also where one label is longer than its frames."""
    task, expert, head = pair
    for lengths in (LENGTHS, (61, 30, 2, 80)):
        features = make_features(lengths)
        theirs = expert("train", features, legacy_labels(task, expert), list("abcd"), defaultdict(list))
        ours = head.loss(features, LABELS[task]).mean
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)
        grads = [
            torch.autograd.grad(loss, list(module.parameters())) for loss, module in ((theirs, expert), (ours, head))
        ]
        for old, new in zip(*grads):
            torch.testing.assert_close(new, old, rtol=1e-4, atol=1e-6)


def test_answers_files_and_scores_are_equal(pair: tuple[str, Any, CtcHead], tmp_path: Path) -> None:
    """Evaluated utterance by utterance, as the legacy experts do."""
    task, expert, head = pair
    records: Any = defaultdict(list)
    features, examples = make_features(), make_examples(LABELS[task])
    split, logger = CARDS[task].test, Logger()
    with torch.no_grad():
        for frames, label, example in zip(features, legacy_labels(task, expert), examples):
            expert(split, [frames], [label], [example.name], records=records)
    expert.log_records(split, records=records, logger=logger, global_step=0, batch_ids=[], total_batch_num=4)

    predictions = head.predict(features, examples)
    assert len({item.output for item in predictions}) == 4
    for path in head.write(predictions, split, tmp_path / "ours"):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()
    scores = head.score(predictions, {})
    for metric in CARDS[task].metrics:
        if (task, metric.name) != ("asr", "cer"):
            percent = 1 if task == "asr" or metric.name.startswith("slot_edit") else 100
            assert scores[metric.name] == pytest.approx(percent * logger.scores[metric.name], rel=1e-12), metric.name
