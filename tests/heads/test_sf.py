"""Slot filling: marks in the text, slot scores on any answer, and where they are not defined by s3prl."""

from __future__ import annotations

import pytest
from ctc_cases import LABELS, SLOTS, make_head
from hypothesis import given
from hypothesis import strategies as st

import s3prl_plugins  # noqa: F401
from s3prl_plugins.heads.contract import Prediction
from s3prl_plugins.heads.corpora.snips import marked_text
from s3prl_plugins.superb.cards import CARDS
from s3prl_plugins.superb.units import CHARACTERS

WORDS = st.text(alphabet="AB'Z", min_size=1, max_size=4)


@pytest.fixture(scope="module")
def head():
    return make_head("sf")


@pytest.fixture(scope="module")
def legacy(tmp_path_factory: pytest.TempPathFactory):
    from s3prl.downstream.ctc.text import CharacterTextSlotEncoder

    folder = tmp_path_factory.mktemp("legacy")
    (folder / "units.txt").write_text("".join(f"{unit}\n" for unit in CHARACTERS))
    (folder / "slots.txt").write_text("\n".join(["O", *SLOTS]))
    return CharacterTextSlotEncoder.load_from_file(folder / "units.txt", folder / "slots.txt")


@given(words=st.lists(st.tuples(WORDS | st.just("&"), st.sampled_from(["O", *SLOTS])), min_size=1, max_size=8))
def test_encoding_equals_the_legacy_encoder(head, legacy, words) -> None:
    text = marked_text([word for word, _ in words], [tag for _, tag in words])
    line = f"BOS {' '.join(word for word, _ in words)} EOS\tO {' '.join(tag for _, tag in words)} Intent"
    ids = head.vocabulary.ids(head.split(text))
    assert ids == legacy.encode(line)
    assert head.join(head.vocabulary.units(ids)) == legacy.decode(ids) == text


def test_punctuation_is_left_out() -> None:
    words, tags = ["PLAY", ",", "A", "!", "&", "B", "."], ["O", "O", "artist", "artist", "artist", "artist", "O"]
    assert marked_text(words, tags) == "PLAY B-artist A AND B E-artist"


def test_slot_names_that_start_alike_are_told_apart(head) -> None:
    text = "B-object A E-object B-object_name B E-object_name"
    units = head.split(text)
    assert units == ["B-object ", "A", " E-object", " ", "B-object_name ", "B", " E-object_name"]


def test_vocabulary_has_legacy_size_and_order(head, legacy) -> None:
    assert len(head.vocabulary) == legacy.vocab_size
    assert [legacy.idx_to_vocab(i) for i in range(legacy.vocab_size)] == list(head.vocabulary.symbols)


@given(
    pairs=st.lists(
        st.tuples(st.sampled_from(LABELS["sf"]), st.sampled_from(LABELS["sf"]), st.sets(st.integers(0, 40))),
        min_size=1,
        max_size=6,
    )
)
def test_scores_equal_legacy_metrics_on_damaged_answers(head, pairs) -> None:
    import s3prl.downstream.ctc.metric as legacy_metrics

    predictions = []
    for number, (truth, start, lost) in enumerate([(LABELS["sf"][0], LABELS["sf"][0], set()), *pairs]):
        answer = head.join([unit for i, unit in enumerate(head.split(start)) if i not in lost])
        predictions.append(Prediction(str(number), answer, truth))
    texts = {"hypothesis": [p.output for p in predictions], "groundtruth": [p.truth for p in predictions]}
    for name, value in head.score(predictions, {}).items():
        expected = getattr(legacy_metrics, name)(**texts)
        assert value == pytest.approx(expected * (1 if name.startswith("slot_edit") else 100), rel=1e-12), name


def test_scores_without_any_slot(head) -> None:
    scores = head.score([Prediction("a", "GO", "GO"), Prediction("b", "STOP", "GO")], {})
    assert scores["slot_type_f1"] == scores["slot_edit_f1_full"] == scores["slot_edit_f1_part"] == 100.0
    assert scores["slot_value_cer"] == scores["slot_value_wer"] == 0.0
    assert scores["wer"] == 50.0
    assert list(scores) == [metric.name for metric in CARDS["sf"].metrics]


def test_slots_found_where_there_are_none(head) -> None:
    scores = head.score([Prediction("a", "B-artist GO E-artist", "GO")], {})
    assert scores["slot_type_f1"] == scores["slot_edit_f1_full"] == 0.0


def test_head_without_slots_spells() -> None:
    head = make_head("sf", units={"characters": list(CHARACTERS), "slots": []})
    assert head.join(head.split("IT'S B-side")) == "IT'S B-side"
    assert len(head.vocabulary) == 31
