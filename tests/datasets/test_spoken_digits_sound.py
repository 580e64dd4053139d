"""Spoken digits up to the ear: who says what, how espeak-ng says it, and what happens to the sound."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from toolchain.datasets.spoken_digits import speech as speech_module
from toolchain.datasets.spoken_digits.plan import PARTS, Settings, plan_sample, speakers_of
from toolchain.datasets.spoken_digits.sound import disturbed, noise, stretched, trimmed
from toolchain.datasets.spoken_digits.speech import Speech, Utterance, library_and_data, speak
from toolchain.datasets.spoken_digits.voices import ACCENTS, FAMILIES, LABEL_NAMES
from toolchain.errors import DatasetError, InputError, MissingDependencyError

RATE = 22050


@pytest.fixture
def espeak() -> None:
    """The library, or a skip that says what is missing."""
    pytest.importorskip("espeakng_loader", reason="pip install 'delayline[speech]'")
    return


@pytest.mark.parametrize("part", PARTS)
def test_every_word_and_every_speaker_has_its_turn(part: str) -> None:
    settings = Settings()
    speakers = speakers_of(settings, seed=3)
    plans = [plan_sample(settings, speakers, 3, part, i) for i in range(160)]
    assert Counter(p.label for p in plans) == dict.fromkeys(range(20), 8)
    numbers = Counter(p.speaker for p in plans)
    assert len(numbers) == len(speakers[part])
    assert max(numbers.values()) == min(numbers.values())
    assert all((p.label < 10) == (not p.utterance.voice.startswith("de+")) for p in plans)
    assert all(LABEL_NAMES[p.label] == p.utterance.text for p in plans)


def test_a_sample_is_drawn_from_seed_part_and_number_alone() -> None:
    settings = Settings()
    speakers = speakers_of(settings, 3)
    one = plan_sample(settings, speakers, 3, "train", 37)
    for _ in range(3):
        plan_sample(settings, speakers, 3, "train", 5)
    assert plan_sample(settings, speakers, 3, "train", 37) == one
    assert plan_sample(settings, speakers, 3, "test", 37)[2:] != one[2:]
    assert plan_sample(settings, speakers_of(settings, 4), 4, "train", 37)[2:] != one[2:]


def test_no_family_of_voices_is_in_two_parts() -> None:
    family = {voice: number for number, voices in enumerate(FAMILIES) for voice in voices}
    assert len(family) == sum(map(len, FAMILIES)) == 85
    for seed in range(5):
        parts = [{family[s.voice] for s in part} for part in speakers_of(Settings(), seed).values()]
        assert list(map(len, parts)) == [16, 8, 16]
        assert len(set.union(*parts)) == 40
    everybody = speakers_of(Settings(train_speakers=40, valid_speakers=10, test_speakers=10), 0)
    assert sum(map(len, everybody.values())) == len(FAMILIES)
    with pytest.raises(InputError, match="60 together"):
        speakers_of(Settings(train_speakers=41, valid_speakers=10, test_speakers=10), 0)


def test_more_voices_to_train_on_leave_those_that_test_as_they_are() -> None:
    few, many = (speakers_of(Settings(train_speakers=n), 1) for n in (16, 36))
    assert many["train"][:16] == few["train"]
    assert len(many["train"]) == 36
    assert (many["valid"], many["test"]) == (few["valid"], few["test"])
    samples = [plan_sample(Settings(train_speakers=n), s, 1, "test", 7) for n, s in ((16, few), (36, many))]
    assert samples[0]._replace(speaker=0) == samples[1]._replace(speaker=0), "only the number of the speaker is another"


def test_every_voice_and_accent_is_there(espeak: None) -> None:
    _, data = library_and_data()
    present = {f.name for f in (data / "voices" / "!v").iterdir()}
    assert {voice for family in FAMILIES for voice in family} <= present
    for accent in (*ACCENTS, "de"):
        assert speak(Utterance("neun", f"{accent}+f2", 50, 150, 0)).samples.size > 0.1 * RATE


def test_the_same_request_sounds_the_same_whatever_was_said_before(espeak: None) -> None:
    """The voice has noise in it, which the library seeds from the clock if it is not told."""
    request = Utterance("seven", "en-us+whisper", 50, 150, 7)
    first = speak(request)
    speak(Utterance("drei", "de+klatt2", 30, 180, 1))
    assert np.array_equal(speak(request).samples, first.samples)
    assert first.rate_hz == RATE
    other = speak(Utterance("seven", "en-us+whisper", 50, 150, 8)).samples
    assert not np.array_equal(other, first.samples)


def test_pitch_and_pace_are_those_that_are_asked_for(espeak: None) -> None:
    slow, quick = (speak(Utterance("nine", "en-us+m3", 50, pace, 0)).samples for pace in (100, 200))
    assert quick.size < 0.7 * slow.size
    low, high = (speak(Utterance("nine", "en-us+m3", pitch, 100, 0)).samples for pitch in (10, 90))
    assert _period(high) < 0.8 * _period(low)


def _period(samples: np.ndarray[tuple[int], np.dtype[np.int16]]) -> int:
    """Samples from one pulse of the voice to the next, in the middle of the word."""
    middle = samples[samples.size // 3 : samples.size // 3 + 3000].astype(float)
    likeness = np.correlate(middle, middle, "full")[middle.size - 1 :]
    shortest = RATE // 400
    return shortest + int(likeness[shortest : RATE // 50].argmax())


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import os; os.abort()", "status -6"),
        ("import time; time.sleep(60)", "longer than 1.0 s, 3 times"),
        ("print('{}')", "0 bytes"),
        ("import sys; print('ValueError: voice: status 2'); sys.exit(1)", "voice: status 2"),
    ],
)
def test_a_library_that_crashes_hangs_or_refuses_is_named(
    espeak: None, script: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "script.py"
    file.write_text(script)
    monkeypatch.setattr(speech_module, "SCRIPT", file)
    monkeypatch.setattr(speech_module, "TIME_LIMIT_S", 1.0)
    with pytest.raises(DatasetError, match=rf"'five' by en-us\+f2 .*{message}.*; leave the voice out"):
        speak(Utterance("five", "en-us+f2", 50, 150, 0))


def test_a_word_that_took_too_long_once_is_tried_again(
    espeak: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine, and not the voice, stood still."""
    request = Utterance("five", "en-us+f2", 50, 150, 0)
    usual = speak(request)
    slow_once = tmp_path / "script.py"
    flag = tmp_path / "been_here"
    slow_once.write_text(
        f"import pathlib, runpy, time\nflag = pathlib.Path({str(flag)!r})\n"
        "if not flag.exists():\n    flag.touch()\n    time.sleep(60)\n"
        f"runpy.run_path({str(speech_module.SCRIPT)!r}, run_name='__main__')\n"
    )
    monkeypatch.setattr(speech_module, "SCRIPT", slow_once)
    monkeypatch.setattr(speech_module, "TIME_LIMIT_S", 2.0)
    assert np.array_equal(speak(request).samples, usual.samples)
    assert flag.exists()


def test_a_library_that_cannot_be_used_is_a_missing_dependency(
    espeak: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, data = library_and_data()
    broken = tmp_path / "libespeak-ng.so"
    broken.write_bytes(b"none")
    monkeypatch.setattr(speech_module, "library_and_data", lambda: (broken, data))
    with pytest.raises(MissingDependencyError, match=r"delayline\[speech\]"):
        speak(Utterance("five", "en-us+f2", 50, 150, 0))


def test_a_variant_that_does_not_exist_is_refused(espeak: None) -> None:
    with pytest.raises(DatasetError, match="no variant 'f99'"):
        speak(Utterance("five", "en-us+f99", 50, 150, 0))


def test_without_espeak_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    library_and_data.cache_clear()
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    try:
        with pytest.raises(MissingDependencyError, match=r"pip install 'delayline\[speech\]'"):
            speak(Utterance("five", "en-us+f2", 50, 150, 0))
    finally:
        library_and_data.cache_clear()


def tone(seconds: float, hertz: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.asarray(np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE))


@pytest.mark.parametrize("tempo", [0.6, 1.0, 1.7])
def test_another_tempo_has_another_length_and_the_same_pitch(tempo: float) -> None:
    word = tone(0.8, 440)
    made = stretched(word, RATE, np.array([tempo] * 4))
    assert made.size / RATE == pytest.approx(0.8 / tempo, abs=0.03)
    middle = made[2000:-2000]
    assert np.abs(np.fft.rfft(middle)).argmax() * RATE / middle.size == pytest.approx(440, abs=3)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(np.sqrt(0.5), rel=0.05)


def test_tempo_changes_within_a_word() -> None:
    """Half a second each of two tones, twice as fast at the start and half as fast at the end."""
    word = np.concatenate((tone(0.5, 300), tone(0.5, 900)))
    made = stretched(word, RATE, np.array([2.0, 2.0, 0.5, 0.5]))
    crossings = np.flatnonzero(np.diff(np.signbit(made)))
    low = np.count_nonzero(np.diff(crossings) > RATE / 900)
    # 300 Hz: 300 half periods in 0.5 s; at twice the tempo a good half of them is left.
    assert 120 < low < 230
    assert np.count_nonzero(np.diff(crossings) <= RATE / 900) > 1100


def test_quiet_ends_of_a_word_go() -> None:
    sound = np.concatenate((np.zeros(4000), tone(0.3, 500), np.zeros(3000)))
    assert trimmed(sound, RATE).size / RATE == pytest.approx(0.3 + 2 * 0.02, abs=0.006)


@pytest.mark.parametrize("tilt", [0.0, -6.0])
def test_noise_has_its_power_and_its_slope(tilt: float) -> None:
    made = noise(2**17, RATE, tilt, np.random.default_rng(0))
    assert np.mean(made**2) == pytest.approx(1)
    power = np.abs(np.fft.rfft(made)) ** 2
    frequency = np.fft.rfftfreq(made.size, 1 / RATE)

    def level(low: float) -> float:
        return float(10 * np.log10(power[(frequency >= low) & (frequency < 1.1 * low)].mean()))

    assert level(4000) - level(500) == pytest.approx(3 * tilt, abs=0.7)


def test_a_disturbed_word_has_silence_before_and_after_and_noise_throughout() -> None:
    settings = Settings()
    plan = plan_sample(settings, speakers_of(settings, 0), 0, "train", 0)
    plan = plan._replace(tempo=(1.0,) * 4, silence_s=(0.1, 0.05), noise_db=20.0, noise_tilt_db=0.0)
    word = (20000 * tone(0.4, 600)).astype(np.int16)
    sound = disturbed(Speech(word, RATE, "test"), plan)
    assert sound.size / RATE == pytest.approx(0.1 + 0.4 + 0.05, abs=0.03)
    quiet, loud = np.mean(sound[: RATE // 12] ** 2), np.mean(sound[RATE // 5 : RATE // 3] ** 2)
    assert 10 * np.log10(loud / quiet) == pytest.approx(20, abs=1)
    assert np.array_equal(disturbed(Speech(word, RATE, "test"), plan), sound)
    with pytest.raises(DatasetError, match="is silent"):
        disturbed(Speech(np.zeros_like(word), RATE, "test"), plan)
