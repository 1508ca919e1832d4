"""QUESST 2014 (QbE): documents, spoken queries, and which document holds which query."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import quoteattr

from s3prl_plugins.corpora.layouts.plan import Plan, write_lines
from s3prl_plugins.corpora.recordings import Line, Recording, Take
from s3prl_plugins.corpora.scenes import random_scene
from s3prl_plugins.corpora.seeding import generator
from s3prl_plugins.corpora.sizes import Size
from s3prl_plugins.corpora.texts import Sentence, sentences
from s3prl_plugins.corpora.voices import random_voice

__all__ = ["plan"]

_ROOT = "quesst14/quesst14Database"
_SPEAKERS = 12


def plan(size: Size, seed: int) -> Plan:
    """Documents are sentences of the grammar; queries are values of their slots, spoken by others."""
    source = sentences(generator(seed, "quesst14", "documents"), "test")
    documents: dict[str, Sentence] = {f"quesst14_{n + 1:05d}": next(source) for n in range(size.documents)}
    queries = _queries(documents, size, seed)
    recordings: list[Recording] = []
    splits: dict[str, list[str]] = {
        "utterances": [_record(recordings, "Audio", name, s.text, "document", seed) for name, s in documents.items()]
    }
    for split, chosen in queries.items():
        folder = f"{split}_queries"
        splits[split] = [_record(recordings, folder, name, text, "query", seed) for name, text in chosen.items()]

    def index(root: Path, _final: Path, takes: Mapping[str, Take]) -> None:
        scoring = root / _ROOT / "scoring"
        for split, paths in splits.items():
            lines = [f"{path.removeprefix('quesst14/')} nnenglish" for path in paths]
            write_lines(scoring / f"language_key_{split}.lst", lines)
        seconds = {Path(path).stem: takes[path].seconds for path in splits["utterances"]}
        for split, chosen in queries.items():
            _ground_truth(scoring / f"groundtruth_quesst14_{split}", split, chosen, documents, seconds)

    return Plan("quesst14", recordings, index, splits)


def _queries(documents: Mapping[str, Sentence], size: Size, seed: int) -> dict[str, dict[str, str]]:
    """Dev and eval queries by name; their texts differ while there are enough, and each is in some document."""
    said: dict[str, None] = {}
    for sentence in documents.values():
        phrase: list[str] = []
        for word, slot, following in zip(sentence.words, sentence.slots, (*sentence.slots[1:], "O")):
            if slot != "O":
                phrase.append(word)
                if following != slot:
                    said[" ".join(phrase)] = None
                    phrase = []
    # Short words such as "two" give too few frames to search for.
    candidates = [text for text in said if len(text) >= 5]
    order = generator(seed, "quesst14", "queries").permutation(len(candidates))
    texts = [candidates[int(i)] for i in order]
    names = [(split, n) for split, count in zip(("dev", "eval"), size.queries) for n in range(count)]
    found: dict[str, dict[str, str]] = {"dev": {}, "eval": {}}
    for position, (split, number) in enumerate(names):
        found[split][f"quesst14_{split}_{number + 1:04d}"] = texts[position % len(texts)]
    return found


def _record(recordings: list[Recording], folder: str, name: str, text: str, role: str, seed: int) -> str:
    path = f"{_ROOT}/{folder}/{name}.wav"
    random = generator(seed, "quesst14", name)
    voice = random_voice(generator(seed, "quesst14", role, int(random.integers(_SPEAKERS))))
    scene = random_scene(random, noisy=0.4, snr=(8, 25), reverberant=0.3)
    recordings.append(Recording(path, seed, (Line(voice, text),), scene))
    return path


def _ground_truth(
    folder: Path,
    split: str,
    queries: Mapping[str, str],
    documents: Mapping[str, Sentence],
    seconds: Mapping[str, float],
) -> None:
    """NIST's three files: documents (ecf), queries (tlist), and a LEXEME line for each query in a document (rttm)."""
    rttm = [
        f"LEXEME {document} 1 0.000 {seconds[document]:.3f} {query} lex <NA> <NA>"
        for query, text in queries.items()
        for document, sentence in documents.items()
        if f" {text} " in f" {sentence.text} "
    ]
    write_lines(folder / f"quesst14_{split}.rttm", rttm)
    total = sum(seconds.values())
    excerpts = [
        f'<excerpt audio_filename={quoteattr(name)} channel="1" tbeg="0.000" dur="{length:.3f}" source_type="splitcts"/>'
        for name, length in seconds.items()
    ]
    head = f'<ecf source_signal_duration="{total:.3f}" language="" version="mini-SUPERB">'
    write_lines(folder / "quesst14.ecf.xml", ['<?xml version="1.0" encoding="UTF-8"?>', head, *excerpts, "</ecf>"])
    terms = [f"<term termid={quoteattr(name)}><termtext>{text}</termtext></term>" for name, text in queries.items()]
    head = f'<termlist ecf_filename="quesst14.ecf.xml" language="" encoding="UTF-8" version="mini-SUPERB {split}">'
    path = folder / f"quesst14_{split}.tlist.xml"
    write_lines(path, ['<?xml version="1.0" encoding="UTF-8"?>', head, *terms, "</termlist>"])
