"""SUPERB's slot filling: characters with marks around slot values, under CTC."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from s3prl.metric import cer, slot_edit_f1, slot_type_f1, slot_value_cer, slot_value_wer, wer

from s3prl_plugins.heads.contract import Prediction, Scores
from s3prl_plugins.heads.ctc import CtcHead, texts
from s3prl_plugins.heads.ctc_lstm import LstmConfig, lstm
from s3prl_plugins.heads.ctc_vocabulary import Vocabulary
from s3prl_plugins.heads.task import TaskConfig

__all__ = ["SfHead"]


class SfHead(CtcHead):
    """Labels and answers are upper-case words with marks, `PLAY B-artist THE BEATLES E-artist PLEASE`.

    A mark and the space that sets it off from its value are one symbol. Slots come in the order of `slots.txt`, each
    with its B mark and its E mark.

    :param labels: `{"characters": [...], "slots": [...]}`.
    """

    Config = LstmConfig

    def __init__(
        self,
        config: TaskConfig,
        labels: Mapping[str, Sequence[str]],
        upstream_dim: int,
        upstream_rate: int,
    ) -> None:
        marks = [mark for slot in labels["slots"] for mark in (f"B-{slot} ", f" E-{slot}")]
        special = ("<pad>", "<eos>", "<unk>")
        vocabulary = Vocabulary(special, [*labels["characters"], *marks], eos="<eos>", unknown="<unk>")
        super().__init__(config.card, lstm(config.head, upstream_dim, len(vocabulary)), vocabulary)
        names = "|".join(re.escape(slot) for slot in labels["slots"])
        marked = rf"(?<![^ ])B-(?:{names}) | E-(?:{names})(?![^ ])|." if names else "."
        self._units = re.compile(marked, re.DOTALL)

    def split(self, label: str) -> list[str]:
        return self._units.findall(label)

    def join(self, units: Sequence[str]) -> str:
        return "".join(units)

    def score(self, predictions: Sequence[Prediction], calibration: Mapping[str, float]) -> Scores:
        """s3prl's slot metrics and error rates of the marked text.

        Where no utterance has a slot, s3prl's metrics divide by zero; then the error rates of slot values are 0 and
        the edit F1 scores 100, there being no slot to get wrong.
        """
        hypotheses, references = texts(predictions)

        def percent(metric: Callable[..., float], without_slots: float, **options: bool) -> float:
            try:
                return 100.0 * metric(hypotheses, references, **options)
            except ZeroDivisionError:
                return without_slots

        return {
            "slot_type_f1": 100.0 * slot_type_f1(hypotheses, references),
            "slot_value_cer": percent(slot_value_cer, 0.0),
            "slot_value_wer": percent(slot_value_wer, 0.0),
            "slot_edit_f1_full": percent(slot_edit_f1, 100.0, loop_over_all_slot=True),
            "slot_edit_f1_part": percent(slot_edit_f1, 100.0, loop_over_all_slot=False),
            "wer": 100.0 * wer(hypotheses, references),
            "cer": 100.0 * cer(hypotheses, references),
        }
