"""CTC decoding with a word language model: the beam search over a lexicon that SUPERB's ASR with LM uses (flashlight).

The decoder comes with the extra `lm` (flashlight-text, which holds KenLM); nothing of it is imported before it is used.
"""

from __future__ import annotations

import gzip
import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from s3prl_plugins.config import Signed
from s3prl_plugins.errors import ConfigError

__all__ = ["LmConfig", "LmDecoder"]

_THRESHOLD = 25.0
"""Hypotheses this much worse than the best are dropped (s3prl: beam_threshold)."""


@dataclass(frozen=True)
class LmConfig:
    """The language model and the search; defaults are those of s3prl's asr/config.yaml.

    SUPERB takes LibriSpeech's 4-gram (openslr.org/11) and the letter lexicon of fairseq's wav2vec.
    """

    path: Path
    """Word n-grams as an ARPA file, plain or .gz; words in upper case."""
    alpha: float = 2.0
    """Weight of the model's log10 probability against the natural logarithm of the acoustic one (s3prl: lm_weight)."""
    beta: Signed = -1.0
    """Added for every word (s3prl: word_score)."""
    beam: int = 5
    """Hypotheses kept."""
    lexicon: Path | None = None
    """File whose lines begin with the words to choose from; null takes the ARPA file's."""

    def __post_init__(self) -> None:
        if self.beam < 1:
            raise ConfigError(f"beam must be at least 1, found {self.beam}")
        for name in ("path", "lexicon"):
            path = getattr(self, name)
            if path is not None and not path.is_file():
                raise ConfigError(f"{name} names {str(path)!r}, which is no file; give one that exists")


class LmDecoder:
    """Finds the likeliest words of an utterance: max over alignments of acoustic + alpha LM + beta words.

    :param symbols: meaning of the log-probabilities' columns, the blank first.
    :param word_end: the symbol that ends each word.
    :raises ConfigError: the decoder is not installed, or the files hold no word that the symbols spell.
    """

    def __init__(self, config: LmConfig, symbols: Sequence[str], word_end: str) -> None:
        if importlib.util.find_spec("flashlight") is None:
            raise ConfigError("head.lm needs flashlight-text, which is missing; pip install 's3prl-plugins[lm]'")
        self.config = config
        self.symbols = {symbol: index for index, symbol in enumerate(symbols)}
        self.word_end = word_end

    def __call__(self, log_probs: Tensor) -> str:
        """:param log_probs: (frames, symbols)."""
        if not len(log_probs):
            return ""
        decoder, words = self._search
        emissions = log_probs.detach().float().cpu().contiguous()
        best = decoder.decode(emissions.data_ptr(), *emissions.shape)[0]
        return " ".join(words.get_entry(index) for index in best.words if index >= 0)

    @cached_property
    def _search(self) -> tuple[Any, Any]:
        """flashlight's decoder and word dictionary; loading LibriSpeech's 4-gram takes minutes and gigabytes."""
        flashlight: Any = importlib.import_module("flashlight.lib.text.decoder")
        kenlm: Any = importlib.import_module("flashlight.lib.text.decoder.kenlm")
        dictionary: Any = importlib.import_module("flashlight.lib.text.dictionary")
        spellings = self._spellings()
        words = dictionary.Dictionary([*spellings, "<unk>"])
        try:
            model = kenlm.KenLM(str(self.config.path), words)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(
                f"head.lm.path: KenLM cannot read {self.config.path} ({reason}); mend the file"
            ) from error
        trie, start = flashlight.Trie(len(self.symbols), self.symbols[self.word_end]), model.start(False)
        for word, spelling in spellings.items():
            index = words.get_index(word)
            trie.insert(spelling, index, model.score(start, index)[1])
        trie.smear(flashlight.SmearingMode.MAX)
        options = flashlight.LexiconDecoderOptions(
            beam_size=self.config.beam, beam_size_token=len(self.symbols), beam_threshold=_THRESHOLD,
            lm_weight=self.config.alpha, word_score=self.config.beta, unk_score=float("-inf"), sil_score=0.0,
            log_add=False, criterion_type=flashlight.CriterionType.CTC,
        )  # fmt: skip
        unknown = words.get_index("<unk>")
        blank = 0
        arguments: tuple[Any, ...] = (options, trie, model, self.symbols[self.word_end], blank, unknown, [], False)
        return flashlight.LexiconDecoder(*arguments), words

    def _spellings(self) -> dict[str, list[int]]:
        """Word -> ids of its letters and the word end, for the words that the symbols can spell."""
        source = self.config.lexicon or self.config.path
        words = _first_fields(source) if self.config.lexicon else _arpa_words(source)
        known = {symbol for symbol in self.symbols if len(symbol) == 1} - {self.word_end}
        spellings = {
            word: [self.symbols[letter] for letter in (*word, self.word_end)]
            for word in words
            if word and known.issuperset(word)
        }
        if not spellings:
            raise ConfigError(f"head.lm: {source} holds no word spelled with A-Z and '; give one in upper case")
        return spellings


def _first_fields(path: Path) -> Iterator[str]:
    with _open(path) as lines:
        for line in lines:
            yield from line.split()[:1]


def _arpa_words(path: Path) -> Iterator[str]:
    """The 1-grams of an ARPA file: lines `LOG10 WORD [BACKOFF]` of one section."""
    inside = False
    with _open(path) as lines:
        for line in lines:
            fields = line.split()
            if fields and fields[0].startswith("\\"):
                if inside:
                    return
                inside = fields[0] == "\\1-grams:"
            elif inside and len(fields) > 1:
                yield fields[1]


def _open(path: Path) -> Any:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    return opener(path, "rt", encoding="utf-8", errors="replace")
