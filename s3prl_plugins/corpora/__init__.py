"""Mini-SUPERB: a deterministic, synthetic miniature of the ten SUPERB corpora in their layouts on disk.

`build.make` makes it. Other synthetic speech is made from the same parts: draw a `random_voice` for each speaker and
texts from `sentences` (part "train" keeps clear of all dev and test texts), put them into `Recording`s, and `record` them.
A `generator` with a purpose of its own (its first name after the seed) gives speakers that are in no other corpus.
"""

from s3prl_plugins.corpora.build import make
from s3prl_plugins.corpora.espeak import Engine, Speech
from s3prl_plugins.corpora.recordings import Line, Recording, Take
from s3prl_plugins.corpora.scenes import Scene, random_scene
from s3prl_plugins.corpora.seeding import generator
from s3prl_plugins.corpora.studio import record
from s3prl_plugins.corpora.texts import Sentence, sentences
from s3prl_plugins.corpora.voices import Voice, emotional, random_voice

__all__ = [
    "Engine",
    "Line",
    "Recording",
    "Scene",
    "Sentence",
    "Speech",
    "Take",
    "Voice",
    "emotional",
    "generator",
    "make",
    "random_scene",
    "random_voice",
    "record",
    "sentences",
]
