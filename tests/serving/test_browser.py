"""The page as a person meets it, in Chromium without a window."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from s3prl_plugins.inference.model import Model

if TYPE_CHECKING:
    from tests.serving.conftest import Site

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (the extra `dev`)")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH (Debian's package `chromium`)")
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-component-update",
    "--disable-sync", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, site: Site) -> Iterator[Any]:
    """The page of a phone's width; at the end it has asked its own host alone, and no upload is left."""
    context = browser.new_context(viewport={"width": 390, "height": 800}, permissions=["microphone"])
    shown, asked = context.new_page(), []
    shown.on("request", lambda request: asked.append(request.url))
    shown.set_default_timeout(20_000)
    shown.goto(site.url)
    shown.wait_for_selector("#recording input", state="attached")
    yield shown
    own = ("data:", f"blob:{site.url}/", f"{site.url}/")
    assert len(asked) > 20 and [url for url in asked if not url.startswith(own)] == []
    context.close()
    assert site.empty()


def send(page: Any, place: str, file: Path) -> None:
    page.set_input_files(f"#{place} input[type=file]", file)


def test_a_recording_fills_the_page(page: Any, superb_tiny: Model, vowels: Callable[..., Path]) -> None:
    expected = superb_tiny(vowels())
    assert expected.asr is not None and expected.pr is not None and expected.er is not None
    assert "only knows synthetic speech" in page.inner_text("body")
    send(page, "recording", vowels())
    page.wait_for_selector("#answers .figure")
    assert page.inner_text("#answers .sentence.asr p") == (expected.asr.text or "no words")
    assert page.inner_text("#answers .sentence.sf p")
    assert page.locator("#answers .wave path").bounding_box()["height"] > 50
    tracks = page.locator("#answers .row .title").all_inner_texts()
    assert [tracks[1], *tracks[-2:]] == ["Signal", "Words", "Phones"] and tracks[2].startswith("Speaker")
    phones = page.locator("#answers .phones .track")
    assert phones.locator("span").all_inner_texts() == [phone.label for phone in expected.pr.phones] != []
    # A phone's mark lies at its share of the track, whatever its width.
    track, mark = phones.bounding_box(), phones.locator("b").first.bounding_box()
    assert (mark["x"] - track["x"]) / track["width"] == pytest.approx(expected.pr.phones[0].start / 1.5, abs=0.01)
    groups = page.locator("#answers .bars h3").all_inner_texts()
    assert groups == [
        "Emotion recognition", "Keyword spotting", "Intent: action", "Intent: object", "Intent: location",
        "Speaker identification",
    ]  # fmt: skip
    first = page.locator("#answers .group.er li").first
    assert first.inner_text().split("\n")[0] == expected.er.label
    share = first.locator("b").bounding_box()["width"] / first.bounding_box()["width"]
    assert share == pytest.approx(expected.er.probability, abs=0.02)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    with page.expect_download() as saved:
        page.click("text=Save the answers as JSON")
    assert '"name": "vowels.wav"' in Path(saved.value.path()).read_text()


def test_what_is_no_audio_is_told_and_taken_off(page: Any, tmp_path: Path, vowels: Callable[..., Path]) -> None:
    (tmp_path / "notes.wav").write_text("not audio")
    send(page, "recording", tmp_path / "notes.wav")
    message = page.wait_for_selector("#answers .fault").inner_text()
    assert message == "notes.wav: audio cannot be read (Format not recognised); convert it to wav or flac"
    (tmp_path / "big.wav").write_bytes(bytes((1 << 20) + 1))
    send(page, "recording", tmp_path / "big.wav")
    page.wait_for_selector("text=exceed the maximum allowed size")
    send(page, "recording", vowels())
    page.wait_for_selector("#answers .figure")


def test_a_microphone_is_answered(page: Any) -> None:
    page.click("#recording button[aria-label='Record audio']")
    page.click("#recording button.record")
    page.wait_for_timeout(1500)
    page.click("#recording .stop-button")
    page.wait_for_selector("#answers .figure")
    assert page.locator("#answers .wave path").count() == 1


def test_two_recordings_are_compared(page: Any, superb_tiny: Model, vowels: Callable[..., Path]) -> None:
    high = vowels("high.wav", pitch=220.0)
    expected = superb_tiny.verify(vowels(), high)
    page.click("role=tab[name='Two speakers?']")
    send(page, "speaker-a", vowels())
    page.wait_for_selector("text=Now the other recording.")
    send(page, "speaker-b", high)
    verdict = page.wait_for_selector("#verdict .verdict").inner_text()
    assert verdict.startswith("The same speaker" if expected.same else "Two speakers")
    assert f"Score {expected.score:.3f}, threshold {expected.threshold:.3f}." in verdict
