"""Each repair, on the real s3prl: what fails without it works with it."""

import argparse
import importlib
import subprocess
import sys
from collections import defaultdict
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

import s3prl_plugins  # noqa: F401 (it must come before s3prl)
from s3prl_plugins import compat
from s3prl_plugins.errors import ConfigError, UserError

hub = pytest.importorskip("s3prl.hub")


def test_hub_imports_and_says_what_was_mended():
    made = {repair.name for repair in compat.in_force()}
    assert {"torchaudio.set_audio_backend", "torchaudio.sox_effects", "huggingface_hub.HfFolder"} <= made
    assert callable(hub.fbank)


def test_names_are_unique_and_every_field_is_filled():
    assert len({repair.name for repair in compat.ALL}) == len(compat.ALL)
    assert all(repair.gone and repair.instead for repair in compat.ALL)


def test_torchaudio_backend_is_accepted():
    import torchaudio

    assert torchaudio.set_audio_backend("sox_io") is None


@pytest.mark.parametrize(
    "kind", [("wav", "PCM_16", "PCM_S", 16), ("flac", "PCM_16", "FLAC", 16), ("wav", "FLOAT", "PCM_F", 32)]
)
def test_torchaudio_info_and_load_read_through_soundfile(tmp_path, kind):
    import torchaudio

    suffix, subtype, encoding, bits = kind
    wave = np.round(np.linspace(-0.5, 0.5, 200).reshape(100, 2) * 2**15) / 2**15
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, wave, 8000, subtype=subtype)
    info = torchaudio.info(str(path))
    assert (info.sample_rate, info.num_frames, info.num_channels) == (8000, 100, 2)
    assert (info.encoding, info.bits_per_sample) == (encoding, bits)
    tensor, rate = torchaudio.load(str(path))
    assert rate == 8000
    np.testing.assert_array_equal(tensor.numpy(), wave.T.astype(np.float32))
    part, _ = torchaudio.load(path, frame_offset=10, num_frames=5, channels_first=False)
    np.testing.assert_array_equal(part.numpy(), wave[10:15].astype(np.float32))


def test_torchaudio_save_writes_what_load_reads(tmp_path):
    import torchaudio

    wave = torch.linspace(-0.9, 0.9, 50)[None]
    torchaudio.save(tmp_path / "f.wav", wave, 16000)
    assert torch.equal(torchaudio.load(tmp_path / "f.wav")[0], wave)
    torchaudio.save(str(tmp_path / "i.wav"), wave, 16000, encoding="PCM_S", bits_per_sample=16)
    assert soundfile.info(tmp_path / "i.wav").subtype == "PCM_16"


def test_sox_effects_are_there_as_attribute_and_as_module():
    import torchaudio

    module = importlib.import_module("torchaudio.sox_effects")
    assert torchaudio.sox_effects is module
    assert module.apply_effects_tensor(torch.ones(1, 4), 16000, [["gain", "-6.0206"]])[0][0, 0] == pytest.approx(
        0.5, abs=1e-5
    )


def test_a_runner_checkpoint_loads_without_executing_code(tmp_path):
    torch.save({"Args": argparse.Namespace(upstream="fbank"), "Step": 3}, tmp_path / "states-3.ckpt")
    loaded = torch.load(tmp_path / "states-3.ckpt", map_location="cpu", weights_only=True)
    assert loaded["Args"].upstream == "fbank"


def test_huggingface_names_import_and_repository_names_the_cure(monkeypatch):
    from huggingface_hub import HfFolder, Repository

    monkeypatch.setenv("HF_TOKEN", "hf_a")
    assert HfFolder.get_token() == "hf_a"
    with pytest.raises(UserError, match="upload the experiment folder with: hf upload"):
        Repository(local_dir="x", clone_from="y")


@pytest.mark.parametrize(
    "name",
    [
        "s3prl.upstream.wavlm.WavLM",
        "s3prl.upstream.wav2vec2.wav2vec2_model",
        "s3prl.upstream.lighthubert.lighthubert.lighthubert",
    ],
)
def test_masks_without_overlap_need_np_int_in_their_module_only(name):
    module = importlib.import_module(name)
    mask = module.compute_mask_indices((2, 60), None, 0.5, 5, no_overlap=True, min_masks=2)
    assert mask.shape == (2, 60)
    assert mask.any()
    assert not hasattr(np, "int")
    assert module.np is not np


def test_griffin_lim_needs_np_complex():
    (repair,) = [repair for repair in compat.REPAIRS if repair.module == "s3prl.utility.audio"]
    module = ModuleType("s3prl.utility.audio")
    module.np = np
    assert repair.mend(module)
    assert np.zeros(2).astype(module.np.complex).dtype == np.complex128
    assert not hasattr(np, "complex")


def test_tables_become_data_points():
    pandas = pytest.importorskip("pandas")
    from s3prl.dataio.corpus.base import Corpus

    table = pandas.DataFrame({"path": ["a", "b"], "label": [1, 2]})
    points = Corpus.dataframe_to_datapoints(table, lambda point: point["path"])
    assert points == {"a": {"path": "a", "label": 1}, "b": {"path": "b", "label": 2}}


def test_isinstance_stays_as_it_is():
    from s3prl.utility import helper

    helper.hack_isinstance()
    assert isinstance(defaultdict(), dict)
    assert isinstance(defaultdict(), (dict, list))


def test_override_sets_literals_and_bare_strings_and_evaluates_nothing(tmp_path, capsys):
    from s3prl.utility import helper

    args, config = argparse.Namespace(device="cuda", expdir="a"), {"runner": {"total_steps": 1}}
    trap = tmp_path / "trap"
    options = (
        "config.optimizer.lr=1e-3,,config.runner.eval_dataloaders=['dev', 'test'],,args.device=cpu,,config.name=AdamW"
        f",,config.trap=open({str(trap)!r}, 'w'),,config.note=a=b"
    )
    helper.override(options, args, config)
    assert args.device == "cpu"
    assert config["optimizer"]["lr"] == 1e-3
    assert config["runner"] == {"total_steps": 1, "eval_dataloaders": ["dev", "test"]}
    assert (config["name"], config["note"]) == ("AdamW", "a=b")
    assert not trap.exists()
    assert "[Override] - config.optimizer.lr = 0.001" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"override 'arg\.x=1' must read config"):
        helper.override("arg.x=1", args, config)


def test_speaker_verification_runs_where_the_features_are():
    module = pytest.importorskip("s3prl.downstream.sv_voxceleb1.expert")
    seen = []

    def inference(features, mask):
        seen.append((features.device, mask.device, mask.shape))
        return features.mean(dim=1)

    expert = SimpleNamespace(
        modelrc={"module": "XVector"}, connector=torch.nn.Identity(), model=SimpleNamespace(inference=inference)
    )
    records = defaultdict(list)
    features = [torch.ones(20, 3), torch.ones(30, 3)]
    module.DownstreamExpert.forward(expert, "test", features, ["a", "b"], None, records=records)
    assert seen == [(torch.device("cpu"), torch.device("cpu"), (2, 16))]
    assert set(records) == {"a", "b"}
    if not torch.cuda.is_available():
        with pytest.raises((RuntimeError, AssertionError)):  # outside that forward nothing changed
            torch.ones(1).cuda()


@pytest.mark.parametrize("absence", compat.ABSENCES, ids=lambda absence: absence.name)
def test_a_stand_in_is_there_only_while_its_user_is_imported(monkeypatch, absence):
    top = absence.name.partition(".")[0]
    for name in [name for name in sys.modules if name == top or name.startswith(f"{top}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(compat, "_installed", lambda _: False)
    with compat.standing_in("json"):
        assert top not in sys.modules
    with compat.standing_in(absence.users[0]):
        module = importlib.import_module(absence.name)
        assert set(absence.contents()) <= set(vars(module))
    assert top not in sys.modules


def test_what_is_installed_is_never_replaced(monkeypatch):
    monkeypatch.setattr(compat, "_installed", lambda _: True)
    before = dict(sys.modules)
    with compat.standing_in("s3prl.downstream.speech_commands.expert"):
        assert dict(sys.modules) == before


def test_the_distributed_sampler_shares_what_the_other_draws():
    wrapper = compat.absent._distributed_sampler()["DistributedSamplerWrapper"]
    drawn = [7, 7, 3, 9, 1, 4]
    shares = [list(wrapper(drawn, num_replicas=2, rank=rank, shuffle=False)) for rank in (0, 1)]
    assert shares == [[7, 3, 1], [7, 9, 4]]


@pytest.mark.parametrize(("text", "value"), [("True", 1), ("off", 0), ("y", 1)])
def test_strtobool(text, value):
    assert compat.absent._strtobool(text) == value


PROGRAM = """
import sys
MISSING = {"catalyst", "sox", "pkg_resources", "distutils", "chunk", "sed_eval", "dcase_util"}
class NotInstalled:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NotInstalled)
import s3prl_plugins, argparse, huggingface_hub, torch, torchaudio
assert not hasattr(torchaudio, "set_audio_backend") and not hasattr(huggingface_hub, "HfFolder")
assert argparse.Namespace not in torch.serialization.get_safe_globals() and "torchaudio.sox_effects" not in sys.modules
cuda, isinstance_before = torch.Tensor.cuda, isinstance
import importlib
from s3prl_plugins import compat
for user in sorted({user for absence in compat.ABSENCES for user in absence.users} - {"s3prl.downstream.voxceleb2_ge2e.dataset"}):
    importlib.import_module(user)
assert hasattr(torchaudio, "set_audio_backend") and torch.Tensor.cuda is cuda and isinstance is isinstance_before
assert not [name for name in sys.modules if name.partition(".")[0] in MISSING], "a stand-in leaked"
print("fine")
"""


def test_nothing_changes_before_s3prl_is_imported_and_bare_installs_suffice():
    answer = subprocess.run([sys.executable, "-W", "ignore", "-c", PROGRAM], capture_output=True, text=True)
    assert answer.stdout.endswith("fine\n"), answer.stderr
