"""ASR with a language model: the beam search against every word sequence there is, and the way to the prediction files."""

from __future__ import annotations

import functools
import gzip
import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from ctc_cases import UNITS, config, make_examples, make_features
from torch import Tensor

import s3prl_plugins  # noqa: F401
from s3prl_plugins.config import merge
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.heads.asr import AsrHead
from s3prl_plugins.heads.contract import Prediction
from s3prl_plugins.heads.ctc_lm import LmConfig, LmDecoder
from s3prl_plugins.heads.task import build_head, task_config

SYMBOLS = ("<s>", "<pad>", "</s>", "<unk>", "|", "A", "B")
UNIGRAMS = {
    "A": (-0.61, -0.23),
    "AB": (-0.52, -0.41),
    "BA": (-0.94, -0.17),
    "<s>": (-99.0, -0.33),
    "</s>": (-0.78, 0.0),
}
BIGRAMS = {("<s>", "AB"): -0.13, ("AB", "A"): -0.22, ("AB", "</s>"): -0.31, ("BA", "BA"): -1.57}


def write_arpa(path: Path) -> Path:
    text = f"\\data\\\nngram 1={len(UNIGRAMS) + 1}\nngram 2={len(BIGRAMS)}\n\n\\1-grams:\n-1.3\t<unk>\n"
    text += "".join(f"{p}\t{word}" + (f"\t{backoff}\n" if backoff else "\n") for word, (p, backoff) in UNIGRAMS.items())
    text += "\n\\2-grams:\n" + "".join(f"{p}\t{first} {second}\n" for (first, second), p in BIGRAMS.items())
    path.write_text(text + "\n\\end\\\n", encoding="utf-8")
    return path


@pytest.fixture
def arpa(tmp_path: Path) -> Path:
    return write_arpa(tmp_path / "small.arpa")


def lm_score(words: Sequence[str]) -> float:
    """log10 of the bigram model with backing off, sentence end included."""
    pairs = itertools.pairwise(("<s>", *words, "</s>"))
    return sum(BIGRAMS.get(pair, UNIGRAMS[pair[0]][1] + UNIGRAMS[pair[1]][0]) for pair in pairs)


@functools.cache
def alignments(frames: int) -> tuple[Tensor, list[tuple[str, ...]]]:
    """Every sequence of symbols (paths, frames) that says words of the model to their ends, and what it says."""
    kept = []
    for path in itertools.product((0, 4, 5, 6), repeat=frames):
        text = "".join(SYMBOLS[index] for index, _ in itertools.groupby(path) if index)
        words = tuple(filter(None, text.split("|")))
        if {*words} <= {"A", "AB", "BA"} and not text.endswith(("A", "B")):
            kept.append((path, words))
    return torch.tensor([path for path, _ in kept]), [words for _, words in kept]


def exhaustive(log_probs: Tensor, alpha: float, beta: float) -> str:
    """The words of the best alignment."""
    paths, said = alignments(len(log_probs))
    acoustic = log_probs.gather(1, paths.T).sum(0)
    others = torch.tensor([alpha * lm_score(words) + beta * len(words) for words in said])
    return " ".join(said[int((acoustic + others).argmax())])


@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 0.0), (2.0, -1.0), (3.0, 2.0)])
def test_the_search_finds_what_trying_everything_finds(arpa: Path, alpha: float, beta: float) -> None:
    pytest.importorskip("flashlight.lib.text.decoder")
    decoder = LmDecoder(LmConfig(arpa, alpha, beta, beam=500), SYMBOLS, "|")
    generator = torch.Generator().manual_seed(7)
    answers = []
    for _ in range(30):
        logits = 6 * torch.randn(7, len(SYMBOLS), generator=generator)
        logits[:, 1:4] = -30.0
        log_probs = logits.log_softmax(-1)
        answers.append(exhaustive(log_probs, alpha, beta))
        assert decoder(log_probs) == answers[-1]
    assert len(set(answers)) > 3, answers


def test_weight_of_the_model_turns_the_answer(arpa: Path) -> None:
    pytest.importorskip("flashlight.lib.text.decoder")
    log_probs = torch.full((4, len(SYMBOLS)), -20.0)
    for frame, letters in enumerate(("BA", "A B", "| B", "| |")):
        for place, letter in enumerate(letters.replace(" ", "")):
            log_probs[frame, SYMBOLS.index(letter)] = -0.6 - 0.2 * place
    acoustic, both = (LmDecoder(LmConfig(arpa, alpha, 0.0, 50), SYMBOLS, "|") for alpha in (0.0, 10.0))
    assert acoustic(log_probs) == "BA"
    assert both(log_probs) == "AB"
    assert both(log_probs[:0]) == ""


def test_a_compressed_model_and_a_lexicon_of_ones_own_are_read(arpa: Path, tmp_path: Path) -> None:
    pytest.importorskip("flashlight.lib.text.decoder")
    packed = tmp_path / "small.arpa.gz"
    packed.write_bytes(gzip.compress(arpa.read_bytes()))
    lexicon = tmp_path / "lexicon.lst"
    lexicon.write_text("BA\tB A |\n")
    log_probs = torch.randn(12, len(SYMBOLS), generator=torch.Generator().manual_seed(1)).log_softmax(-1)
    whole, zipped = (LmDecoder(LmConfig(path), SYMBOLS, "|")(log_probs) for path in (arpa, packed))
    assert whole == zipped
    assert set(LmDecoder(LmConfig(arpa, lexicon=lexicon), SYMBOLS, "|")(log_probs).split()) <= {"BA"}


def test_files_that_do_not_serve_are_told(arpa: Path, tmp_path: Path) -> None:
    pytest.importorskip("flashlight.lib.text.decoder")
    lower = tmp_path / "lower.arpa"
    lower.write_text(arpa.read_text().replace("A", "a").replace("B", "b"))
    frames = torch.zeros(3, len(SYMBOLS))
    with pytest.raises(ConfigError, match="lower.arpa holds no word spelled with A-Z and '; give one in upper case"):
        LmDecoder(LmConfig(lower), SYMBOLS, "|")(frames)
    broken = tmp_path / "broken.arpa"
    broken.write_text(arpa.read_text().replace("ngram 1=6", "ngram 1=9"))
    with pytest.raises(ConfigError, match="KenLM cannot read .*broken.arpa .*; mend the file"):
        LmDecoder(LmConfig(broken), SYMBOLS, "|")(frames)


def test_settings_are_checked(arpa: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="path names '.*absent.arpa', which is no file; give one that exists"):
        LmConfig(tmp_path / "absent.arpa")
    with pytest.raises(ConfigError, match="beam must be at least 1, found 0"):
        LmConfig(arpa, beam=0)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        ConfigError, match=r"head.lm needs flashlight-text, which is missing; pip install 's3prl-plugins\[lm\]'"
    ):
        LmDecoder(LmConfig(arpa), SYMBOLS, "|")


def make_asr(lm: dict[str, object] | None) -> AsrHead:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        head = build_head(task_config(merge(config("asr"), {"head": {"lm": lm}})), UNITS["asr"], 12, 320)
    assert isinstance(head, AsrHead)
    return head.eval()


def test_the_head_answers_scores_and_writes_with_and_without_the_model(arpa: Path, tmp_path: Path) -> None:
    pytest.importorskip("flashlight.lib.text.decoder")
    labels = ("AB A", "BA")
    plain, with_lm = make_asr(None), make_asr({"path": str(arpa), "alpha": "1e0"})
    assert plain.state_dict().keys() == with_lm.state_dict().keys()
    features, examples = make_features((40, 25)), make_examples(labels)
    greedy, both = plain.predict(features, examples), with_lm.predict(features, examples)
    assert [item.output for item in greedy] == [item.output for item in both]
    assert all(item.extra is None for item in greedy)
    assert all(item.extra is not None and set(item.extra["lm"].split()) <= {"A", "AB", "BA"} for item in both)
    # An utterance's answer does not depend on the batch it comes in.
    log_probs, frames = with_lm.log_probs(features)
    assert [item.extra for item in both] == [{"lm": with_lm.lm(row[:n])} for row, n in zip(log_probs, frames.tolist())]
    right = [Prediction(item.name, item.output, item.truth, {"lm": item.truth}) for item in both]
    assert with_lm.score(right, {})["wer_lm"] == 0.0 and list(plain.score(greedy, {})) == ["wer", "cer"]
    written = with_lm.write(both, "test-clean", tmp_path / "lm")
    assert [path.name for path in written] == [
        f"test-clean-{kind}-{side}.ark" for kind in ("noLM", "LM") for side in ("hyp", "ref")
    ]
    assert written[2].read_text() == "".join(f"{item.name} {item.extra['lm']}\n" for item in both if item.extra)
    assert written[3].read_text() == written[1].read_text() == "utt-0 AB A\nutt-1 BA\n"
    assert len(plain.write(greedy, "test-clean", tmp_path / "plain")) == 2
