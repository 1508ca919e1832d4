"""Speech: the same bytes from the same voice and text, timings that fit the sound, crashes that are reported."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from s3prl_plugins.corpora import espeak
from s3prl_plugins.corpora.espeak import SAMPLE_RATE, Engine
from s3prl_plugins.corpora.seeding import generator
from s3prl_plugins.corpora.voices import EMOTIONS, Voice, emotional, random_voice
from s3prl_plugins.errors import CorpusError

pytest.importorskip("espeakng_loader")
BREATHY = Voice(formants=((100, 100, 100),) * 9, breath=(0, 20, 20, 20), flutter=5, roughness=3)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    return Engine(tmp_path_factory.mktemp("engine"))


def test_speech_does_not_depend_on_what_was_said_before_nor_on_the_process(engine, tmp_path):
    first = engine.speak(BREATHY, "play some jazz music")
    engine.speak(Voice(accent="en-gb-scotland", pitch=180), "something else")
    again = engine.speak(BREATHY, "play some jazz music")
    assert np.array_equal(first.samples, again.samples) and first.phones == again.phones
    # Breath is noise that espeak-ng would seed with the time of day: another process at another second.
    script = (
        "import sys, time, hashlib, pathlib\n"
        "from s3prl_plugins.corpora.espeak import Engine\n"
        "from tests.corpora.test_espeak import BREATHY\n"
        "time.sleep(1.1)\n"
        "speech = Engine(pathlib.Path(sys.argv[1])).speak(BREATHY, 'play some jazz music')\n"
        "sys.stdout.buffer.write(speech.samples.tobytes())"
    )
    out = subprocess.run([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, check=True)
    assert out.stdout == first.samples.tobytes()


def test_timings_tile_the_sound(engine):
    speech = engine.speak(Voice(), "book the table")
    assert [word for word, _, _ in speech.words] == ["book", "the", "table"]
    assert speech.phones[0][1] == 0 and speech.phones[-1][2] == speech.samples.size == speech.words[-1][2]
    for (_, start, stop), (_, following, _) in zip(speech.phones, speech.phones[1:]):
        assert 0 <= start < stop <= following
    vowels = [speech.samples[start:stop] for phone, start, stop in speech.phones if phone.startswith("\u02c8")]
    assert all(np.abs(vowel).max() > 0.01 for vowel in vowels) and vowels


def test_words_are_separated_where_the_sound_is_quiet(engine):
    """Between "six" and "six" lies the gap of 10 ms that makes the boundary exact."""
    speech = engine.speak(Voice(rate=150), "six six")
    boundary = speech.words[1][1]
    quiet = speech.samples[boundary - SAMPLE_RATE // 200 : boundary]
    assert np.abs(quiet).max() < 0.2 * np.abs(speech.samples).max()


def test_the_resampler_keeps_a_tone_and_removes_what_16_khz_cannot_hold():
    time = np.arange(22050) / 22050
    low = espeak._resample(np.sin(2 * np.pi * 1000 * time))[:16000]
    assert np.abs(low - np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000))[200:-200].max() < 1e-2
    high = espeak._resample(np.sin(2 * np.pi * 9000 * time))[:16000]
    assert np.abs(high[200:-200]).max() < 1e-2


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_every_kind_of_voice_speaks_without_clipping(engine, emotion):
    random = generator(5, emotion)
    for _ in range(6):
        speech = engine.speak(emotional(random_voice(random), emotion, random), "nobody knows why")
        assert 0.01 < np.abs(speech.samples).max() < 1


def test_pitch_and_rate_are_heard(engine):
    def duration(voice):
        return engine.speak(voice, "what is the weather in london today").samples.size

    assert duration(Voice(rate=140)) > 1.3 * duration(Voice(rate=230))

    def fundamental(voice):
        wave = engine.speak(voice, "nine nine nine").samples.astype(float)
        spectrum = np.abs(np.fft.rfft(wave, 2**17)) ** 2
        correlation = np.fft.irfft(spectrum)
        lags = np.arange(SAMPLE_RATE // 350, SAMPLE_RATE // 60)
        return SAMPLE_RATE / lags[correlation[lags].argmax()]

    flat = Voice(pitch_range=1.0, flutter=0, roughness=0)
    assert fundamental(replace(flat, pitch=190.0)) > 1.4 * fundamental(replace(flat, pitch=95.0))


def test_a_crash_of_the_child_is_one_line(engine, monkeypatch):
    monkeypatch.setattr(engine, "_synthesise", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(CorpusError, match=r"^espeak-ng ended with signal 9 while .* said 'hello'; change the voice"):
        engine.speak(Voice(), "hello")


def test_accents_are_heard_and_an_unknown_one_is_refused(engine):
    from s3prl_plugins.corpora.voices import ACCENTS

    said = {
        tuple(phone for phone, _, _ in engine.speak(Voice(accent=accent), "what is the party car like tomorrow").phones)
        for accent in set(ACCENTS)
    }
    assert len(said) == len(set(ACCENTS))
    with pytest.raises(CorpusError, match=r"ended with status 1 while .*xx-klingon"):
        engine.speak(Voice(accent="xx-klingon"), "hello")


def test_silence_is_refused(engine):
    with pytest.raises(CorpusError, match="must speak, found no phone in '\\?'"):
        engine.speak(Voice(), "?")


def test_missing_parts_name_the_cure(monkeypatch):
    monkeypatch.setattr(espeak.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CorpusError, match=r"pip install 's3prl-plugins\[mini\]'"):
        espeak.require_espeak()
    monkeypatch.delattr(os, "fork")
    with pytest.raises(CorpusError, match=r"needs a platform with os.fork"):
        espeak.require_espeak()
