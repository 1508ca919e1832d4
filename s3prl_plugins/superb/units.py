"""The output symbols of SUPERB's CTC heads, in the order of s3prl's vocabulary files, so that stock weights fit.

Special symbols (blank, end of sentence, unknown) are not in these lists; the heads put them in front.
"""

from __future__ import annotations

__all__ = ["CHARACTERS", "LETTERS", "PHONES"]

LETTERS: tuple[str, ...] = ("|", *"ETAONIHSRDLUMCWFGYPBVK'XJQZ")
"""ASR: `asr/char.dict`, by falling frequency in LibriSpeech; `|` ends a word."""

CHARACTERS: tuple[str, ...] = (" ", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "'")
"""SF: `ctc/vocab/character.txt`."""

# fmt: off
PHONES: tuple[str, ...] = (
    "SIL", "SPN", "AA0", "AA1", "AA2", "AE0", "AE1", "AE2", "AH0", "AH1", "AH2", "AO0", "AO1", "AO2",
    "AW0", "AW1", "AW2", "AY0", "AY1", "AY2", "B", "CH", "D", "DH", "EH0", "EH1", "EH2", "ER0", "ER1", "ER2",
    "EY0", "EY1", "EY2", "F", "G", "HH", "IH0", "IH1", "IH2", "IY0", "IY1", "IY2", "JH", "K", "L", "M", "N", "NG",
    "OW0", "OW1", "OW2", "OY0", "OY1", "OY2", "P", "R", "S", "SH", "T", "TH", "UH0", "UH1", "UH2",
    "UW0", "UW1", "UW2", "V", "W", "Y", "Z", "ZH",
)
# fmt: on
"""PR: `ctc/vocab/phoneme.txt`, ARPAbet with stress marks."""
