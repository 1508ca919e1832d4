"""SUPERB's speech recognition: letters under CTC, greedy decoding; with a language model too, if one is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from s3prl.metric import cer, wer
from torch import Tensor

from s3prl_plugins.heads.ark import write_ark
from s3prl_plugins.heads.contract import Prediction, Scores
from s3prl_plugins.heads.ctc import CtcHead, texts
from s3prl_plugins.heads.ctc_lm import LmConfig, LmDecoder
from s3prl_plugins.heads.ctc_lstm import LstmConfig, lstm
from s3prl_plugins.heads.ctc_vocabulary import Vocabulary
from s3prl_plugins.heads.task import TaskConfig

__all__ = ["AsrHead"]

WORD_END = "|"


class AsrHead(CtcHead):
    """Labels and answers are upper-case words, `HELLO WORLD`; each word ends with `|` inside the network.

    Symbols and their order are those of s3prl's `asr/char.dict`, the blank being `<s>`.
    """

    @dataclass(frozen=True)
    class Config(LstmConfig):
        """Sizes, and the language model of a second decoding."""

        lm: LmConfig | None = None
        """Null decodes greedily only. It slows every evaluation: best given when a finished run is evaluated."""

    def __init__(self, config: TaskConfig, labels: Sequence[str], upstream_dim: int, upstream_rate: int) -> None:
        vocabulary = Vocabulary(("<s>", "<pad>", "</s>", "<unk>"), labels, eos="</s>", unknown="<unk>")
        super().__init__(config.card, lstm(config.head, upstream_dim, len(vocabulary)), vocabulary)
        lm: LmConfig | None = config.head.lm
        self.lm = LmDecoder(lm, vocabulary.symbols, WORD_END) if lm else None

    def split(self, label: str) -> list[str]:
        return list(label.replace(" ", WORD_END) + WORD_END)

    def join(self, units: Sequence[str]) -> str:
        return " ".join("".join(units).replace(WORD_END, " ").split())

    def extra(self, log_probs: Tensor) -> dict[str, str] | None:
        """`lm`, the answer with the language model."""
        return {"lm": self.lm(log_probs)} if self.lm else None

    def score(self, predictions: Sequence[Prediction], calibration: Mapping[str, float]) -> Scores:
        """Word and character error rate; `wer_lm` and `cer_lm` of the answers with a language model, where there are any.

        Characters are those of the text with its spaces, as s3prl's newer Speech2TextCTCTask counts them; the legacy
        expert's `uer` also counts the `|` at the end.
        """
        hypotheses, references = texts(predictions)
        scores = {"wer": 100.0 * wer(hypotheses, references), "cer": 100.0 * cer(hypotheses, references)}
        if with_lm := _with_lm(predictions):
            scores |= {"wer_lm": 100.0 * wer(with_lm, references), "cer_lm": 100.0 * cer(with_lm, references)}
        return scores

    def write(self, predictions: Sequence[Prediction], split: str, folder: Path) -> list[Path]:
        """Hypotheses and references, each `uttid WORDS` a line; with a language model also `{split}-LM-*.ark`."""
        paths = super().write(predictions, split, folder)
        if with_lm := _with_lm(predictions):
            columns = (with_lm, texts(predictions)[1])
            for path, column in zip(list(paths), columns):
                rows = zip((item.name for item in predictions), column)
                paths.append(write_ark(path.with_name(path.name.replace("-noLM-", "-LM-")), rows))
        return paths


def _with_lm(predictions: Sequence[Prediction]) -> list[str]:
    """The answers with a language model; empty where there are none."""
    return [item.extra["lm"] for item in predictions if item.extra is not None]
