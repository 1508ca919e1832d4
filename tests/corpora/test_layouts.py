"""Every corpus is read by s3prl's own dataset classes and parsers, and splits are as far apart as in the real corpora."""

import csv
import json
from collections import Counter, defaultdict
from pathlib import Path
from xml.etree import ElementTree

import pytest

import s3prl_plugins  # noqa: F401 (its import hook mends s3prl)
from s3prl_plugins.corpora.layouts import librispeech
from s3prl_plugins.corpora.layouts.snips import SPEAKERS
from s3prl_plugins.corpora.lexicon import LEXICON
from s3prl_plugins.corpora.sizes import SIZES
from s3prl_plugins.corpora.texts import SLOTS, part_of

MINI = SIZES["mini"]


def lines(path):
    return path.read_text(encoding="utf-8").splitlines()


def transcripts(folder):
    """Utterance -> words of one LibriSpeech split."""
    rows = [line.split(" ", 1) for path in folder.rglob("*.trans.txt") for line in lines(path)]
    return dict(rows)


def test_librispeech_transcripts_match_the_audio_and_the_lexicon(tiny_corpus):
    root = tiny_corpus / "LibriSpeech"
    spoken = {}
    for folder, part in (("train-clean-100", "train"), ("dev-clean", "dev"), ("test-clean", "test")):
        texts = transcripts(root / folder)
        assert set(texts) == {path.stem for path in (root / folder).rglob("*.flac")} and texts
        for path in (root / folder).rglob("*.flac"):
            assert path.stem.startswith(f"{path.parent.parent.name}-{path.parent.name}-")
        assert {part_of(text.lower()) for text in texts.values()} == {part}
        spoken[part] = {name.split("-")[0] for name in texts}
        assert {word for text in texts.values() for word in text.split()} <= {word.upper() for word in LEXICON}
    assert len(spoken["train"] | spoken["dev"] | spoken["test"]) == sum(map(len, spoken.values()))


def test_librispeech_is_read_by_s3prl_asr(tiny_corpus):
    from s3prl.downstream.asr.dataset import SequenceDataset
    from s3prl.downstream.asr.dictionary import Dictionary

    root = tiny_corpus / "LibriSpeech"
    dictionary = Dictionary.load(str(root / "char.dict"))
    assert len(dictionary) == 32
    data = SequenceDataset(
        "train", 4, dictionary, str(root), str(root / "len_for_bucket"), train=["train-clean-100"], batch_size=4
    )
    wavs, labels, names = data[0]
    texts = transcripts(root / "train-clean-100")
    for label, name in zip(labels, names):
        assert dictionary.string(label) == " ".join(texts[name].replace(" ", "|")) + " |"
        assert dictionary.unk() not in label
    assert [len(wav) for wav in wavs] == sorted((len(wav) for wav in wavs), reverse=True)


def test_phones_and_lexicon_suit_s3prl_text_encoder(tiny_corpus):
    from s3prl.downstream.ctc.text import load_text_encoder

    encoder = load_text_encoder("word", str(tiny_corpus / "LibriSpeech" / "phoneme.txt"))
    assert encoder.vocab_size == 74
    for line in lines(tiny_corpus / "LibriSpeech" / "lexicon.txt"):
        assert encoder.unk_idx not in encoder.encode(line.split(" ", 1)[1])


def test_speech_commands_is_read_by_s3prl(tiny_corpus, monkeypatch):
    from s3prl.downstream.speech_commands.dataset import CLASSES, SpeechCommandsDataset, SpeechCommandsTestingDataset
    from s3prl.downstream.speech_commands.expert import split_dataset

    root, test_root = tiny_corpus / "speech_commands", tiny_corpus / "speech_commands_test"
    train, dev = split_dataset(root)
    size = SIZES["tiny"]
    for found, clips in ((train, size.ks_clips[0]), (dev, size.ks_clips[1])):
        counts = Counter(name if name in CLASSES else "_unknown_" for name, _ in found)
        assert counts == dict.fromkeys([name for name in CLASSES if name != "_silence_"], clips)
        data = SpeechCommandsDataset(found, speech_commands_root=str(root))
        wav, label, _ = data[len(data) - 1]
        assert len(wav) == 16000 and CLASSES[label] == "_silence_"
    speakers = [{Path(path).name.split("_nohash_")[0] for _, path in found} for found in (train, dev)]
    test = SpeechCommandsTestingDataset(speech_commands_test_root=str(test_root))
    speakers.append({Path(path).name.split("_nohash_")[0] for name, path in test.data if name != "_silence_"})
    assert Counter(name for name, _ in test.data) == dict.fromkeys(CLASSES, size.ks_clips[2])
    assert len(set.union(*speakers)) == sum(map(len, speakers))


def test_voxceleb1_is_read_by_s3prl_speaker_identification(tiny_corpus, monkeypatch, tmp_path):
    from s3prl.downstream.voxceleb1 import dataset

    monkeypatch.setattr(dataset, "CACHE_PATH", str(tmp_path))
    root, videos = tiny_corpus / "VoxCeleb1", []
    for split, count in zip(("train", "dev", "test"), SIZES["tiny"].vox_utterances):
        data = dataset.SpeakerClassifiDataset(split, root, str(root / "veri_test_class.txt"), 128000)
        # Ids run from id10001 without a gap, and every speaker of both folders is in every split.
        assert Counter(data.label) == dict.fromkeys(range(sum(SIZES["tiny"].vox_speakers)), count)
        videos.append({Path(path).parent for path in data.dataset})
    assert not videos[0] & videos[1] and not videos[0] & videos[2] and not videos[1] & videos[2]


def test_voxceleb1_is_read_by_s3prl_speaker_verification(tiny_corpus, monkeypatch, tmp_path):
    from s3prl.downstream.sv_voxceleb1 import dataset

    monkeypatch.setattr(dataset, "__file__", str(tmp_path / "dataset.py"))
    root = tiny_corpus / "VoxCeleb1"
    train = dataset.SpeakerVerifi_train(
        {"min_sec": 32000}, ["Mini"], [str(root / "dev" / "wav")], str(root / "dev_meta_data.txt"), n_jobs=1
    )
    # Nothing is too short once silence is removed, SID's dev and test utterances of the folder included.
    assert len(train) == SIZES["tiny"].vox_speakers[0] * sum(SIZES["tiny"].vox_utterances)
    assert train.speaker_num == SIZES["tiny"].vox_speakers[0]
    test = dataset.SpeakerVerifi_test(
        {"min_sec": 32000}, str(root / "test" / "wav"), str(root / "voxceleb1_test_v2.txt")
    )
    assert len(test.pair_table) == SIZES["tiny"].vox_trials[1]
    wav, _ = test[0]
    assert len(wav) > 32000


@pytest.mark.parametrize(("file", "folder"), [("dev_meta_data.txt", "dev"), ("voxceleb1_test_v2.txt", "test")])
def test_trials_are_balanced_true_and_never_twice(tiny_corpus, file, folder):
    root = tiny_corpus / "VoxCeleb1"
    trials = [line.split() for line in lines(root / file)]
    assert Counter(label for label, _, _ in trials) == {"0": len(trials) // 2, "1": len(trials) // 2}
    assert len({frozenset(pair) for _, *pair in trials}) == len(trials)
    for label, first, second in trials:
        assert (first.split("/")[0] == second.split("/")[0]) == (label == "1") and first != second
        assert (root / folder / "wav" / first).is_file() and (root / folder / "wav" / second).is_file()


def test_speaker_identification_is_tested_on_verification_training_data_as_in_the_real_corpus(tiny_corpus):
    rows = [line.split() for line in lines(tiny_corpus / "VoxCeleb1" / "veri_test_class.txt")]
    tested = [path for code, path in rows if code == "3"]
    shared = [path for path in tested if (tiny_corpus / "VoxCeleb1" / "dev" / "wav" / path).is_file()]
    assert 0 < len(shared) < len(tested)


def test_librimix_is_read_by_s3prl_diarization(tiny_corpus):
    from s3prl.downstream.diarization.dataset import DiarizationDataset

    speakers = {}
    for split, count in zip(("train", "dev", "test"), SIZES["tiny"].mixtures):
        folder = tiny_corpus / "LibriMix" / split
        data = DiarizationDataset(split, str(folder), frame_shift=160, num_speakers=2)
        assert len(data) == count
        overlapped = 0
        for index in range(count):
            wav, labels = (part[0] for part in data[index][:2]) if split == "test" else data[index]
            assert labels.shape[1] == 2 and abs(len(wav) / 160 - len(labels)) <= 1
            assert labels.any(axis=0).all()
            overlapped += bool(labels.all(axis=1).any())
        assert overlapped > 0
        rttm = [line.split() for line in lines(folder / "rttm")]
        segments = [line.split() for line in lines(folder / "segments")]
        assert sorted((row[1], row[3], f"{float(row[3]) + float(row[4]):.3f}") for row in rttm) == sorted(
            (recording, start, end) for _, recording, start, end in segments
        )
        speakers[split] = {line.split()[1] for line in lines(folder / "utt2spk")}
        assert all(Path(line.split()[1]).is_file() for line in lines(folder / "wav.scp"))


def test_mixtures_are_made_of_the_readers_of_their_split():
    people = librispeech.readers(MINI, 0)
    names = {part: {str(reader.speaker) for reader in people[part]} for part in people}
    from s3prl_plugins.corpora.layouts import librimix

    for part, paths in librimix.plan(MINI, 0).splits.items():
        for path in paths:
            first, second = (turn.split("-")[0] for turn in Path(path).stem.split("_"))
            assert {first, second} <= names[part] and first != second


def test_fluent_speech_commands_is_read_by_s3prl(tiny_corpus):
    from s3prl.downstream.fluent_commands.expert import DownstreamExpert

    root = tiny_corpus / "fluent_speech_commands"
    expert = DownstreamExpert(
        8,
        {
            "datarc": {"file_path": str(root), "train_batch_size": 2, "eval_batch_size": 2, "num_workers": 0},
            "modelrc": {"projector_dim": 4, "select": "UtteranceLevel", "UtteranceLevel": {"pooling": "MeanPooling"}},
        },
        "unused",
    )
    for split in ("train", "dev", "test"):
        data = getattr(expert, f"{split}_dataset")
        for wav, label, _ in (data[index] for index in range(len(data))):
            assert len(wav) > 4000 and len(label) == 3
    rows = {split: list(csv.DictReader((root / "data" / f"{split}_data.csv").open())) for split in ("train", "test")}
    assert {row["speakerId"] for row in rows["train"]}.isdisjoint(row["speakerId"] for row in rows["test"])
    assert list(rows["train"][0]) == ["", "path", "speakerId", "transcription", "action", "object", "location"]


def test_snips_is_read_by_s3prl(tiny_corpus):
    from s3prl.dataio.corpus.snips import SNIPS
    from s3prl.downstream.ctc.text import load_text_encoder

    root = tiny_corpus / "SNIPS"
    parsed = SNIPS(root, *SPEAKERS.values())
    assert [len(ids) for ids in parsed.data_split_ids] == list(SIZES["tiny"].snips_sentences)
    for name, entry in parsed.all_data.items():
        words, slots = entry["transcription"].split(), entry["iob"].split()
        assert len(words) == len(slots) and set(slots) - {"O"} and set(slots) <= {"O", *SLOTS}
        assert entry["speaker"] == name.split("-")[0] and entry["intent"].isalpha()
    letters = root.parent.parent / "character.txt"
    letters.write_text("\n".join([" ", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "'"]))
    encoder = load_text_encoder("character-slot", str(letters), str(root / "slots.txt"))
    assert encoder.slots == [f"{edge}-{slot}" for slot in sorted(SLOTS) for edge in "BE"]
    for line in lines(root / "all.iob.snips.txt"):
        assert encoder.unk_idx not in encoder.encode(line.split(" ", 1)[1])


def test_iemocap_is_read_by_s3prl_and_its_folds_are_sessions(tiny_corpus):
    from s3prl.dataio.corpus.iemocap import IEMOCAP
    from s3prl.downstream.emotion.dataset import IEMOCAPDataset

    root = tiny_corpus / "IEMOCAP"
    everything = IEMOCAP(str(root)).all_data
    for session in range(1, 6):
        parts = {}
        for part in ("train", "test"):
            data = IEMOCAPDataset(str(root), str(root / "meta_data" / f"Session{session}" / f"{part}_meta_data.json"))
            assert data.class_dict == {"neu": 0, "hap": 1, "ang": 2, "sad": 3}
            assert len(set(Counter(entry["label"] for entry in data.meta_data).values())) == 1
            assert len(data[0][0]) > 4000
            parts[part] = {entry["path"] for entry in data.meta_data}
            for entry in data.meta_data:
                assert everything[Path(entry["path"]).stem]["emotion"] == entry["label"]
                assert Path(entry["path"]).name.startswith(entry["speaker"])
        assert all(path.startswith(f"Session{session}/") for path in parts["test"])
        assert not any(path.startswith(f"Session{session}/") for path in parts["train"])
        assert len(parts["train"] | parts["test"]) == len(everything)


def test_every_emotion_says_the_same_texts(tiny_corpus):
    from s3prl_plugins.corpora.layouts import iemocap

    said = defaultdict(set)
    for recording, emotion in zip(iemocap.plan(MINI, 0).recordings, _emotions(MINI)):
        said[emotion].add(recording.lines[0].text)
    assert len(said) == 4 and len({frozenset(texts) for texts in said.values()}) == 1


def _emotions(size):
    for session in range(1, 6):
        for _ in "FM":
            yield from ["neu", "hap", "ang", "sad"] * size.emotion_repeats[session > 1]


def test_quesst14_is_read_by_s3prl(tiny_corpus):
    from s3prl.downstream.quesst14_dtw.dataset import QUESST14Dataset

    root = tiny_corpus / "quesst14" / "quesst14Database"
    for split, count in zip(("dev", "eval"), SIZES["tiny"].queries):
        data = QUESST14Dataset(split, dataset_root=str(root))
        assert (data.n_queries, data.n_docs) == (count, SIZES["tiny"].documents)
        assert all(len(data[index][0]) > 3200 for index in range(len(data)))


@pytest.mark.parametrize("split", ["dev", "eval"])
def test_quesst14_ground_truth_names_queries_and_documents(tiny_corpus, split):
    scoring = tiny_corpus / "quesst14" / "quesst14Database" / "scoring"
    folder = scoring / f"groundtruth_quesst14_{split}"
    names = {
        kind: [Path(line.split()[0]).stem for line in lines(scoring / f"language_key_{kind}.lst")]
        for kind in ("utterances", split)
    }
    hits = [line.split() for line in lines(folder / f"quesst14_{split}.rttm")]
    # Every query is somewhere, none everywhere.
    assert {hit[5] for hit in hits} == set(names[split]) and {hit[1] for hit in hits} <= set(names["utterances"])
    assert all(hit[0] == "LEXEME" and float(hit[4]) > 1 and len(hit) == 9 for hit in hits)
    assert max(Counter(hit[5] for hit in hits).values()) < len(names["utterances"])
    terms = ElementTree.parse(folder / f"quesst14_{split}.tlist.xml").getroot()
    assert [term.get("termid") for term in terms] == names[split]
    documents = ElementTree.parse(folder / "quesst14.ecf.xml").getroot()
    assert [document.get("audio_filename") for document in documents] == names["utterances"]


def test_metadata_is_plain_json(tiny_corpus):
    content = json.loads((tiny_corpus / "manifest.json").read_text())
    assert set(content["corpora"]) == {
        path.name.replace("_test", "") for path in tiny_corpus.iterdir() if path.is_dir()
    }
