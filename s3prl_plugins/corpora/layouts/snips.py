"""Audio SNIPS (SF): sixteen named speakers, one file of sentences with a slot for every word."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from s3prl_plugins.corpora.layouts.plan import Plan, spread, write_lines
from s3prl_plugins.corpora.recordings import Line, Recording, Take
from s3prl_plugins.corpora.scenes import random_scene
from s3prl_plugins.corpora.seeding import generator
from s3prl_plugins.corpora.sizes import Size
from s3prl_plugins.corpora.texts import SLOTS, Part, Sentence, sentences
from s3prl_plugins.corpora.voices import random_voice

__all__ = ["SPEAKERS", "plan"]

SPEAKERS: dict[str, tuple[str, ...]] = {
    "train": ("Ivy", "Joanna", "Joey", "Justin", "Kendra", "Kimberly", "Matthew", "Salli"),
    "valid": ("Aditi", "Amy", "Geraint", "Nicole"),
    "test": ("Brian", "Emma", "Raveena", "Russell"),
}
"""Split -> speakers, as s3prl's `ctc/snips.yaml` has them."""

_PARTS: dict[str, Part] = {"train": "train", "valid": "dev", "test": "test"}


def plan(size: Size, seed: int) -> Plan:
    """Sentences of the grammar, different ones in each split; noise at 8 to 25 dB in 40 %, a room in 30 %."""
    recordings: list[Recording] = []
    said: dict[str, Sentence] = {}
    splits: dict[str, list[str]] = {split: [] for split in SPEAKERS}
    for (split, speakers), count in zip(SPEAKERS.items(), size.snips_sentences):
        source = sentences(generator(seed, "SNIPS", split), _PARTS[split])
        for number, holder in enumerate(spread(count, len(speakers))):
            name = f"{speakers[holder]}-snips-{split}-{number}"
            said[name] = next(source)
            path = f"SNIPS/{split}/{name}.wav"
            voice = random_voice(generator(seed, "SNIPS", "voice", speakers[holder]))
            scene = random_scene(generator(seed, "scene", path), noisy=0.4, snr=(8, 25), reverberant=0.3)
            recordings.append(Recording(path, seed, (Line(voice, said[name].text),), scene))
            splits[split].append(path)

    def index(root: Path, _final: Path, _takes: Mapping[str, Take]) -> None:
        lines = [
            f"{name} BOS {sentence.text.upper()} EOS\tO {' '.join(sentence.slots)} {sentence.intent}"
            for name, sentence in said.items()
        ]
        write_lines(root / "SNIPS" / "all.iob.snips.txt", lines)
        # s3prl skips the first line and takes an empty last one for a slot.
        slots = root / "SNIPS" / "slots.txt"
        slots.write_text("\n".join(["O", *sorted(SLOTS)]), encoding="utf-8", newline="\n")

    return Plan("SNIPS", recordings, index, splits)
