"""Speech and phoneme recognition: error rates against jiwer and s3prl's legacy experts, decoding rules."""

from __future__ import annotations

import jiwer
import pytest
from ctc_cases import UNITS, make_head
from hypothesis import given
from hypothesis import strategies as st

import s3prl_plugins  # noqa: F401
from s3prl_plugins.heads.contract import Prediction

WORDS = st.lists(st.sampled_from(["A", "B", "AB", "IT'S"]), max_size=6).map(" ".join)
PHONES = st.lists(st.sampled_from(["AH0", "AH1", "K", "SIL"]), max_size=6).map(" ".join)


@pytest.fixture(scope="module")
def asr():
    return make_head("asr")


@pytest.fixture(scope="module")
def pr():
    return make_head("pr")


@given(st.lists(st.tuples(WORDS, WORDS.filter(bool)), min_size=1, max_size=5))
def test_word_and_character_error_rates_are_jiwer_s(asr, pairs) -> None:
    scores = asr.score([Prediction(str(i), *pair) for i, pair in enumerate(pairs)], {})
    hypotheses, references = [list(side) for side in zip(*pairs)]
    assert scores["wer"] == pytest.approx(100 * jiwer.wer(references, hypotheses), rel=1e-12)
    assert scores["cer"] == pytest.approx(100 * jiwer.cer(references, hypotheses), rel=1e-12)
    assert list(scores) == ["wer", "cer"]


@given(st.lists(st.tuples(PHONES, PHONES.filter(bool)), min_size=1, max_size=5))
def test_phone_error_rate_is_jiwer_s(pr, pairs) -> None:
    scores = pr.score([Prediction(str(i), *pair) for i, pair in enumerate(pairs)], {})
    hypotheses, references = [list(side) for side in zip(*pairs)]
    assert scores == {"per": pytest.approx(100 * jiwer.wer(references, hypotheses), rel=1e-12)}


@given(st.lists(st.integers(0, 31), max_size=30))
def test_letters_decode_as_in_the_legacy_expert(asr, path) -> None:
    from s3prl.downstream.asr.dictionary import Dictionary
    from s3prl.downstream.asr.expert import token_to_word

    dictionary = Dictionary()
    for letter in UNITS["asr"]:
        dictionary.add_symbol(letter)
    assert tuple(dictionary.symbols) == asr.vocabulary.symbols
    expected = token_to_word(dictionary.string([i for i in path if i != dictionary.bos()])).split()
    assert asr.join(asr.vocabulary.units(path)).split(" ") == (expected or [""])


@given(st.lists(st.integers(0, 73), max_size=30))
def test_phones_decode_as_in_the_legacy_expert(pr, path) -> None:
    from s3prl.downstream.ctc.text import WordTextEncoder

    legacy = WordTextEncoder(UNITS["pr"])
    assert legacy.vocab_size == len(pr.vocabulary) == 74
    kept = [i for i in path if i not in (legacy.pad_idx, legacy.eos_idx)]
    assert pr.join(pr.vocabulary.units(path)) == legacy.decode(kept)


@given(st.lists(st.sampled_from(UNITS["pr"]), min_size=1).map(" ".join))
def test_phones_survive_encoding(pr, label) -> None:
    assert pr.join(pr.vocabulary.units(pr.vocabulary.ids(pr.split(label)))) == label


@given(st.lists(st.text(alphabet="ABZ'", min_size=1), min_size=1).map(" ".join))
def test_letters_survive_encoding(asr, label) -> None:
    ids = asr.vocabulary.ids(asr.split(label))
    assert asr.join(asr.vocabulary.units(ids)) == label
    assert [asr.vocabulary.symbols[i] for i in ids[-2:]] == ["|", "</s>"]
