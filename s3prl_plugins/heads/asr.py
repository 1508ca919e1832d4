"""SUPERB's speech recognition: letters under CTC, greedy decoding, no language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from s3prl.metric import cer, wer

from s3prl_plugins.heads.contract import Prediction, Scores
from s3prl_plugins.heads.ctc import CtcHead, texts
from s3prl_plugins.heads.ctc_lstm import LstmConfig, lstm
from s3prl_plugins.heads.ctc_vocabulary import Vocabulary
from s3prl_plugins.heads.task import TaskConfig

__all__ = ["AsrHead"]

WORD_END = "|"


class AsrHead(CtcHead):
    """Labels and answers are upper-case words, `HELLO WORLD`; each word ends with `|` inside the network.

    Symbols and their order are those of s3prl's `asr/char.dict`, the blank being `<s>`.
    """

    Config = LstmConfig

    def __init__(self, config: TaskConfig, labels: Sequence[str], upstream_dim: int, upstream_rate: int) -> None:
        vocabulary = Vocabulary(("<s>", "<pad>", "</s>", "<unk>"), labels, eos="</s>", unknown="<unk>")
        super().__init__(config.card, lstm(config.head, upstream_dim, len(vocabulary)), vocabulary)

    def split(self, label: str) -> list[str]:
        return list(label.replace(" ", WORD_END) + WORD_END)

    def join(self, units: Sequence[str]) -> str:
        return " ".join("".join(units).replace(WORD_END, " ").split())

    def score(self, predictions: Sequence[Prediction], calibration: Mapping[str, float]) -> Scores:
        """Word and character error rate. Characters are those of the text with its spaces, as s3prl's newer
        Speech2TextCTCTask counts them; the legacy expert's `uer` also counts the `|` at the end."""
        hypotheses, references = texts(predictions)
        return {"wer": 100.0 * wer(hypotheses, references), "cer": 100.0 * cer(hypotheses, references)}
