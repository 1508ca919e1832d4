"""What a model says beside the tracks, as HTML: sentences, slots, probabilities; and faults."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from s3prl_plugins.inference.answers import Answers, Label, SlotFilling, Verification
from s3prl_plugins.report.markup import escape
from s3prl_plugins.superb.cards import card

__all__ = ["bars", "fault", "heading", "json_link", "sentences", "verdict"]

_ABOUT = {
    "mini": "This model only knows synthetic speech: English sentences spoken by espeak-ng. On people's voices, on other "
    "languages, in noise or music its answers mean nothing, however sure it says it is.",
    "paper": "This model was trained on the corpora of SUPERB: English, most of it read or acted. On other languages, "
    "accents and rooms it was never scored.",
}
_UNKNOWN = "Nothing is recorded of the speech this model was trained on."
_CLOSED = "A classifier names one of its classes also for what is none of them."


def heading(title: str, about: Mapping[str, Any]) -> str:
    """The model's name, and what it can and cannot know.

    :param about: of `inference.model.Model`.
    """
    known = _ABOUT.get(str(about.get("size")), _UNKNOWN)
    return f'<h1>{escape(title)}</h1><p class="about">{escape(known)} {_CLOSED}</p>'


def fault(message: str) -> str:
    """Why there is no answer."""
    return f'<p class="fault" role="alert">{escape(message)}</p>'


def sentences(answers: Answers) -> str:
    """The transcript, and the slots marked in SF's text."""
    parts = []
    if answers.asr is not None:
        parts.append(_sentence("asr", escape(answers.asr.text)))
    if answers.sf is not None:
        parts.append(_sentence("sf", _marked(answers.sf)))
    return f'<div class="sentences">{"".join(parts)}</div>' if parts else ""


def bars(answers: Answers) -> str:
    """Emotion, keyword, intent and speaker: the likeliest classes with their probabilities."""
    found: list[tuple[str, str, Label]] = []
    for task in ("er", "ks"):
        if (label := getattr(answers, task)) is not None:
            found.append((task, card(task).title, label))
    if answers.ic is not None:
        found += [("ic", f"Intent: {slot}", label) for slot, label in answers.ic.slots.items()]
    if answers.sid is not None:
        found.append(("sid", card("sid").title, answers.sid))
    groups = "".join(_bars(task, title, label) for task, title, label in found)
    return f'<div class="bars">{groups}</div>' if groups else ""


def json_link(answers: Answers) -> str:
    """A link that holds the file it saves."""
    content = base64.b64encode(json.dumps(answers.as_dict(), indent=1).encode()).decode()
    return (
        f'<p><a class="save" download="answers.json" href="data:application/json;base64,{content}">'
        "Save the answers as JSON</a></p>"
    )


def verdict(found: Verification) -> str:
    """Whether two recordings are of one speaker, and the score on a line from -1 to 1."""
    said = {True: "The same speaker", False: "Two speakers", None: "No threshold: judge the score yourself"}[found.same]
    place = f"{50 * (found.score + 1):.2f}%"
    threshold = "" if found.threshold is None else f'<s style="left:{50 * (found.threshold + 1):.2f}%"></s>'
    limit = "" if found.threshold is None else f", threshold {found.threshold:.3f}"
    return (
        f'<div class="verdict"><h3>{said}</h3><p>Score {found.score:.3f}{limit}. The score is the cosine similarity of '
        f'the speakers\' embeddings, from -1 to 1.</p><div class="scale">{threshold}<b style="left:{place}"></b></div></div>'
    )


def _sentence(task: str, content: str) -> str:
    shown = content or "<i>no words</i>"
    return f'<div class="sentence {task}"><h3>{card(task).title}</h3><p>{shown}</p></div>'


def _marked(answer: SlotFilling) -> str:
    pieces, place = [], 0
    for slot in answer.slots:
        pieces.append(escape(answer.text[place : slot.start]))
        pieces.append(f"<mark>{escape(slot.value)}<small>{escape(slot.name)}</small></mark>")
        place = slot.stop
    return "".join([*pieces, escape(answer.text[place:])])


def _bars(task: str, title: str, label: Label) -> str:
    lines = "".join(
        f'<li title="{choice.probability:.4f}"><b style="width:{100 * choice.probability:.2f}%"></b>'
        f"<span>{escape(choice.label)}</span><em>{100 * choice.probability:.1f} %</em></li>"
        for choice in label.top
    )
    return f'<div class="group {task}"><h3>{escape(title)}</h3><ol>{lines}</ol></div>'
