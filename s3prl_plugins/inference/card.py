"""The model card that is written beside an exported model: what it answers, how well, and for what it is of no use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from s3prl_plugins.superb.cards import card

__all__ = ["hub_card", "model_card"]

_TAGS = {
    "asr": "automatic-speech-recognition", "sd": "speaker-diarization", "asv": "speaker-verification",
    **dict.fromkeys(("er", "ic", "ks", "sid"), "audio-classification"),
}  # fmt: skip
"""Task -> what the Hub calls it."""

_MINI = """It was trained on mini-SUPERB: a closed world of English sentences spoken by espeak-ng's synthetic voices.
**It only knows synthetic speech.** On people's voices, on other languages, in noise or music its answers mean nothing,
however sure it says it is. Its scores compare methods on that corpus; never set them beside published SUPERB scores.
Speakers are voices of the synthesizer, and emotions are settings of it."""
_PAPER = """It was trained on the corpora of SUPERB: English, most of it read or acted. Other languages, accents and rooms are
outside of what it was scored on."""
_LIMITS = """- Every classifier names one of its classes, also for what is none of them; probabilities are not calibrated.
- Diarization knows {speakers} speakers at most and numbers them anew in every recording.
- Recordings above a minute go through the encoder in overlapping windows.
- Do not use it to identify or judge people."""


def model_card(name: str, entry: Mapping[str, Any], padding: str, results: Mapping[str, Any]) -> str:
    """Markdown.

    :param entry: what `portable.Portable.entry` gave.
    :param results: of `results.json`; empty if the run was not scored.
    """
    config, about = entry["config"], entry["about"]
    rows = [_row(task, entry, results.get("scores", {}).get(task, {})) for task in config["tasks"]]
    speakers = config["superb"].get("sd", {}).get("head", {}).get("num_speakers", 2)
    limits = _LIMITS.format(speakers=speakers)
    if "sd" not in config["tasks"]:
        limits = "\n".join(line for line in limits.splitlines() if "Diarization" not in line)
    return "\n".join(
        [
            f"# {name}",
            "",
            f"One encoder, {len(rows)} answers: `s3prl_plugins.load(...)` and `s3prl-plugins predict`. In one file it is also",
            "an upstream, `-u mtl_hubert_local -k FILE`.",
            "",
            "## Tasks and scores",
            "| task | what it answers | metric | test score | settings from dev |",
            "|-|-|-|-|-|",
            *rows,
            "",
            "## Data and languages",
            _MINI if about["size"] == "mini" else _PAPER,
            "",
            "## Limits",
            limits,
            "",
            "## Made by",
            f"`s3prl-plugins export --with-heads`, from step {about['step']} of a run with seed {about['seed']} that",
            f"finetuned `{about['upstream']}` and its heads together; padding `{padding}`.",
            "Scores are those of the run's own weights, before any rounding for the file.",
            "",
        ]
    )


def hub_card(card: str, entry: Mapping[str, Any]) -> str:
    """The card under the metadata that the Hugging Face Hub sorts models by."""
    if card.startswith("---\n"):
        return card
    tasks = {tag for task in entry["config"]["tasks"] for tag in (task, _TAGS.get(task)) if tag}
    about = {"library_name": "s3prl-plugins", "language": ["en"], "tags": ["speech", "superb", *sorted(tasks)]}
    return f"---\n{yaml.safe_dump(about, sort_keys=False)}---\n{card}"


def _row(task: str, entry: Mapping[str, Any], scores: Mapping[str, Mapping[str, float]]) -> str:
    facts = card(task)
    metric = facts.best_metric
    score = scores.get(facts.test, {}).get(metric.name)
    chosen = ", ".join(f"{key} {value:.4g}" for key, value in entry["calibration"].get(task, {}).items())
    arrow = "higher is better" if metric.higher_is_better else "lower is better"
    shown = "not scored" if score is None else f"{score:.1f} {metric.unit}".strip()
    return f"| {task} | {facts.title}{_classes(task, entry['labels'][task])} | {metric.name}, {arrow} | {shown} | {chosen} |"


def _classes(task: str, labels: Any) -> str:
    if task in ("asr", "pr", "asv", "sd"):
        return ""
    if task == "sf":
        return f": {len(labels['slots'])} slots"
    found = [f"{len(values)} of {slot}" for slot, values in labels.items()]
    return f": {', '.join(found)}"
