"""The grammar: small, closed, every word pronounced, texts of the splits apart."""

from itertools import islice

import pytest

from s3prl_plugins.corpora.lexicon import LEXICON
from s3prl_plugins.corpora.seeding import generator
from s3prl_plugins.corpora.texts import SLOTS, part_of, sentences, vocabulary
from s3prl_plugins.superb.units import PHONES


def test_the_grammar_is_small_and_the_lexicon_covers_exactly_it():
    words = vocabulary()
    assert len(words) <= 150 and len(SLOTS) <= 8
    assert set(words) == set(LEXICON)
    assert {phone for phones in LEXICON.values() for phone in phones} <= set(PHONES)
    # Every vowel of a pronunciation carries a stress digit, and every word of more than one vowel one main stress.
    for word, phones in LEXICON.items():
        stresses = [phone[-1] for phone in phones if phone[-1].isdigit()]
        assert stresses and stresses.count("1") <= 1, word
        assert len(stresses) == 1 or "1" in stresses, word


@pytest.mark.parametrize("part", ["train", "dev", "test"])
def test_sentences_stay_in_their_part_and_carry_slot_values(part):
    drawn = list(islice(sentences(generator(3, part), part), 300))
    assert {part_of(sentence.text) for sentence in drawn} == {part}
    assert set(vocabulary()) >= {word for sentence in drawn for word in sentence.words}
    for sentence in drawn:
        assert len(sentence.words) == len(sentence.slots)
        values = _values(sentence)
        assert values and all(value in SLOTS[slot] for slot, value in values)


def _values(sentence):
    """Runs of one slot; a run is one value only if no two values of a slot stand side by side."""
    runs = []
    for word, slot, before in zip(sentence.words, sentence.slots, ("O", *sentence.slots)):
        if slot != "O" and slot == before:
            runs[-1] = (slot, f"{runs[-1][1]} {word}")
        elif slot != "O":
            runs.append((slot, word))
    return runs
