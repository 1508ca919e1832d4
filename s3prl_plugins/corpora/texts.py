"""What is said: one small grammar for ASR, PR and SF, whose sentences carry slots and an intent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

__all__ = ["SLOTS", "Part", "Sentence", "part_of", "sentences", "vocabulary"]

Part = Literal["train", "dev", "test"]

SLOTS: dict[str, tuple[str, ...]] = {
    "artist": ("bob marley", "miles davis", "nina simone", "johnny cash", "david bowie", "madonna"),
    "city": ("london", "paris", "boston", "denver", "dublin", "madrid", "oslo", "tokyo"),
    "condition_description": ("rainy", "sunny", "windy", "cold", "hot", "foggy"),
    "cuisine": ("italian", "mexican", "indian", "french", "greek", "thai"),
    "genre": ("jazz", "rock", "soul", "folk", "blues", "techno", "classical"),
    "party_size_number": ("two", "three", "four", "five", "six", "seven", "eight", "nine"),
    "playlist": ("summer", "party", "dinner", "road trip", "workout", "sleep"),
    "timeRange": (
        "today", "tonight", "tomorrow", "this weekend", "next monday", "this morning", "next week", "this friday",
    ),
}  # fmt: skip
"""Slot -> values; the names are those of SNIPS."""

TEMPLATES: tuple[tuple[str, str], ...] = (
    ("GetWeather", "will it be {condition_description} in {city} {timeRange}"),
    ("GetWeather", "what is the weather in {city} {timeRange}"),
    ("GetWeather", "tell me if it is {condition_description} in {city}"),
    ("GetWeather", "is it going to be {condition_description} {timeRange} in {city}"),
    ("GetWeather", "what will the weather be {timeRange} in {city}"),
    ("BookRestaurant", "book a table for {party_size_number} people in {city} {timeRange}"),
    ("BookRestaurant", "find me some {cuisine} food in {city} for {party_size_number}"),
    ("BookRestaurant", "i want {cuisine} food in {city} {timeRange}"),
    ("BookRestaurant", "i need a table at the {cuisine} place {timeRange}"),
    ("BookRestaurant", "could you book the {cuisine} restaurant for {party_size_number} people"),
    ("PlayMusic", "play some {genre} music by {artist}"),
    ("PlayMusic", "play the new {genre} song by {artist} please"),
    ("PlayMusic", "i would want to hear {artist} {timeRange}"),
    ("PlayMusic", "play me the {playlist} list with some {genre}"),
    ("AddToPlaylist", "add this {genre} song to my {playlist} list"),
    ("AddToPlaylist", "put {artist} on the {playlist} list please"),
    ("AddToPlaylist", "put some {genre} by {artist} on my {playlist} list"),
    ("AddToPlaylist", "add the new song of {artist} to the {playlist} list"),
)
"""Intent and pattern; no two values of one slot stand side by side, which SF's labels could not tell apart."""


@dataclass(frozen=True)
class Sentence:
    """A sentence of the grammar."""

    words: tuple[str, ...]
    slots: tuple[str, ...]
    """The slot of each word, or "O"."""
    intent: str

    @property
    def text(self) -> str:
        return " ".join(self.words)


def part_of(text: str) -> Part:
    """The split a text belongs to in every corpus whose texts must differ between splits; decided by its hash."""
    percent = int(hashlib.sha256(text.encode()).hexdigest(), 16) % 100
    return "train" if percent < 70 else "dev" if percent < 82 else "test"


def sentences(random: np.random.Generator, part: Part | None = None) -> Iterator[Sentence]:
    """Draw sentences of one part (None: of all) without end; a sentence may come again."""
    while True:
        intent, pattern = TEMPLATES[int(random.integers(len(TEMPLATES)))]
        words: list[str] = []
        slots: list[str] = []
        for token in pattern.split():
            name = token.strip("{}") if token.startswith("{") else "O"
            value = token if name == "O" else str(random.choice(SLOTS[name]))
            words += value.split()
            slots += [name] * len(value.split())
        sentence = Sentence(tuple(words), tuple(slots), intent)
        if part is None or part_of(sentence.text) == part:
            yield sentence


def vocabulary() -> list[str]:
    """Every word of the grammar, sorted."""
    words = {word for values in SLOTS.values() for value in values for word in value.split()}
    words |= {word for _, pattern in TEMPLATES for word in pattern.split() if not word.startswith("{")}
    return sorted(words)
