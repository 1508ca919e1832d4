"""The page itself, in Gradio: one tab that answers for a recording, one that compares two speakers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s3prl_plugins.errors import AudioError
from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.inference.answers import Answers, Embedding
from s3prl_plugins.serving.answers import bars, fault, heading, json_link, sentences, verdict
from s3prl_plugins.serving.figure import figure
from s3prl_plugins.serving.limits import Limits, hear_upload
from s3prl_plugins.serving.uploads import discard, is_upload

if TYPE_CHECKING:
    from s3prl_plugins.inference.model import Model

__all__ = ["STYLE", "Desk", "build_page"]

STYLE = Path(__file__).with_name("style.css")
_WAITING = '<p class="waiting">Drop a recording above, or record one. It is deleted once it is answered.</p>'
_QUEUE = 16
"""Recordings that wait for their turn; the next ones are told to come later."""


class Desk:
    """What the page's events call. Each takes an upload's path, which is deleted before it returns.

    :param folder: where uploads lie; no other file is read or deleted.
    """

    def __init__(self, model: Model, limits: Limits, folder: Path) -> None:
        self.model = model
        self.limits = limits
        self.folder = folder

    def answer(self, upload: str | None) -> tuple[dict[str, Any] | None, str]:
        """The answers for the JSON field, and the page's HTML; None and a fault if there are none."""
        if upload is None:
            return None, _WAITING
        path = self._checked(upload)
        try:
            wave = hear_upload(path, self.limits)
            found: Answers = self.model((wave.numpy(), SAMPLE_RATE))
        except AudioError as error:
            return None, fault(str(error))
        finally:
            discard(path, self.folder)
        found = dataclasses.replace(found, name=path.name)
        return found.as_dict(), sentences(found) + figure(wave, found) + bars(found) + json_link(found)

    def enrol(self, upload: str | None, other: Embedding | None) -> tuple[Embedding | None, str]:
        """A recording's embedding, and what is said of it and the other one."""
        if upload is None:
            return None, _WAITING
        path = self._checked(upload)
        try:
            embedding = self.model.embed((hear_upload(path, self.limits).numpy(), SAMPLE_RATE))
        except AudioError as error:
            return None, fault(str(error))
        finally:
            discard(path, self.folder)
        if other is None:
            return embedding, '<p class="waiting">Now the other recording.</p>'
        return embedding, verdict(self.model.compare(embedding, other))

    def _checked(self, upload: str) -> Path:
        if not is_upload(upload, self.folder):
            raise ValueError("a recording must be an upload")
        return Path(upload)


def build_page(title: str, desk: Desk) -> Any:
    """Gradio's blocks, not yet mounted. Shown is what the model has heads for."""
    import gradio

    with gradio.Blocks(title=title, analytics_enabled=False) as page:
        gradio.HTML(heading(title, desk.model.about))
        if "asv" in desk.model.tasks:
            with gradio.Tab("One recording"):
                _answer_tab(gradio, desk)
            with gradio.Tab("Two speakers?"):
                _verify_tab(gradio, desk)
        else:
            _answer_tab(gradio, desk)
    page.queue(max_size=_QUEUE, default_concurrency_limit=1)
    return page


def _answer_tab(gradio: Any, desk: Desk) -> None:
    audio = _audio(gradio, desk.folder, _hint(desk.limits), "recording")
    shown = gradio.HTML(_WAITING, elem_id="answers")
    with gradio.Accordion("All answers as JSON", open=False):
        content = gradio.JSON(show_label=False, buttons=["copy"])
    _on_audio(gradio, audio, desk.answer, [audio], [content, shown])


def _verify_tab(gradio: Any, desk: Desk) -> None:
    with gradio.Row():
        pair = [_audio(gradio, desk.folder, name, f"speaker-{name[0].lower()}") for name in ("A", "B")]
    shown = gradio.HTML(_WAITING, elem_id="verdict")
    states = [gradio.State(None, time_to_live=3600) for _ in pair]
    for number, audio in enumerate(pair):
        _on_audio(gradio, audio, desk.enrol, [audio, states[1 - number]], [states[number], shown])


def _audio(gradio: Any, folder: Path, label: str, name: str) -> Any:
    audio = gradio.Audio(
        sources=["upload", "microphone"], type="filepath", label=label, editable=False, elem_id=name, buttons=[]
    )
    # Gradio would fetch an address, or copy a file of this machine, that a request names in the place of an upload.
    take = audio.async_move_resource_to_block_cache

    async def only_uploads(place: str | Path | None) -> str | None:
        if place is not None and not is_upload(place, folder):
            raise ValueError("a recording must be an upload")
        moved: str | None = await take(place)
        return moved

    audio.async_move_resource_to_block_cache = only_uploads
    return audio


def _on_audio(gradio: Any, audio: Any, call: Any, inputs: list[Any], outputs: list[Any]) -> None:
    def handle(*values: Any) -> list[Any]:
        found = call(*values)
        # What cannot be used is taken off the page too.
        return [*found, None if found[0] is None else gradio.skip()]

    gradio.on(
        [audio.input, audio.clear], handle, inputs, [*outputs, audio], concurrency_id="model",
        api_visibility="private", show_progress="minimal",
    )  # fmt: skip


def _hint(limits: Limits) -> str:
    return f"Recording, up to {limits.seconds:g} s and {limits.megabytes:g} MB"
