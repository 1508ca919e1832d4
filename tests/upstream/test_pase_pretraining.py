"""PASE pretraining end to end on a handful of files, through the command."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml

from s3prl_plugins.cli import main
from s3prl_plugins.config import build, load_yaml
from s3prl_plugins.errors import CheckpointError, ConfigError, CorpusError
from s3prl_plugins.logs import read_metrics
from s3prl_plugins.multitask.config import shipped_configs
from s3prl_plugins.pretrain.multi_worker import MultiWorker
from s3prl_plugins.pretrain.speech import PairedCrops, Utterance
from s3prl_plugins.pretrain.trainer import Pretrainer
from s3prl_plugins.upstream.pase.pretraining import FRAMES, PasePretraining, build_objective, pretrain

CPU = torch.device("cpu")
WORKERS = {"waveform": 0.5, "mfcc": 1.0, "f0": 0.3, "lim": 1.0, "gim": 1.0, "spc": 2.0}
SMALL = {"channels": [4, 4, 4], "hidden": 4}


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    random = np.random.default_rng(0)
    (tmp_path / "speech").mkdir()
    for number in range(20):
        time = np.arange(int(random.integers(9000, 14000))) / 16000
        wave = 0.2 * np.sin(2 * np.pi * (100 + 10 * number) * time) + 0.05 * random.standard_normal(len(time))
        soundfile.write(tmp_path / f"speech/{number}.wav", wave, 16000)
    return {
        "encoder": "tiny", "chunk": 0.42, "sample": 10, "workers": WORKERS, "worker_options": {"waveform": SMALL},
        "speech": {"folders": [str(tmp_path / "speech")], "shortest": 0.5, "longest": 0.8, "batch": 2.4, "held_out": 0.2},
        "train": {"steps": 4, "lr": 1e-3, "log_step": 1, "eval_step": 4, "save_step": 1},
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_command_pretrains_and_s3prl_takes_the_checkpoint(config: dict[str, Any], tmp_path: Path) -> None:
    config |= {"half": True, "random_scale": True, "distortions": {"noise": {"probability": 1.0}, "clipping": None}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    run = tmp_path / "run"
    assert main(["pretrain", "pase", "-c", str(tmp_path / "c.yaml"), "-p", str(run), "--device", "cpu"]) == 0
    entries = read_metrics(run)
    assert [entry["step"] for entry in entries if "train/lim" in entry] == [1, 2, 3, 4]
    assert {f"{split}/{name}" for split in ("train", "dev") for name in WORKERS} <= {k for e in entries for k in e}
    content = torch.load(run / "pase.pt", weights_only=True)
    assert content["metadata"]["workers"] == WORKERS
    assert content["metadata"]["seed"] == 0
    assert content["metadata"]["config"]["chunk"] == 0.42
    assert {tensor.dtype for tensor in content["weights"].values() if tensor.ndim > 1} == {torch.float16}

    import s3prl.hub as hub
    from s3prl.nn import Featurizer, S3PRLUpstream

    waves = [torch.randn(16000), torch.randn(8000)]
    state = hub.pase_multitask_local(ckpt=str(run / "pase.pt"))(waves)["hidden_states"][-1]
    upstream = S3PRLUpstream("pase_multitask_local", path_or_url=str(run / "pase.pt"))
    states, lengths = upstream(torch.nn.utils.rnn.pad_sequence(waves, True), torch.tensor([16000, 8000]))
    features, kept = Featurizer(upstream)(states, lengths)
    assert features.shape[0] == 2
    assert features.shape[2] == state.shape[2]
    assert abs(features.shape[1] - 100) <= 1
    assert torch.isfinite(features).all()
    assert kept.tolist()[0] > kept.tolist()[1]


def test_cut_off_and_continued_ends_the_same(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pretrain(config, tmp_path / "whole", 0, CPU)
    step = Pretrainer._step

    def until_three(self: Pretrainer, number: int, *rest: Any) -> None:
        if number == 3:
            raise KeyboardInterrupt
        step(self, number, *rest)

    def never(*_: Any) -> None:
        raise AssertionError("measured again")

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Pretrainer, "_step", until_three)
        pretrain(config, tmp_path / "cut", 0, CPU)
    with monkeypatch.context() as patch:
        patch.setattr(MultiWorker, "fit", never)
        continued = pretrain(config, tmp_path / "cut", 0, CPU)
    models = [torch.load(path.with_name("training.pt"), weights_only=True)["model"] for path in (whole, continued)]
    for name, tensor in models[0].items():
        assert torch.equal(tensor, models[1][name]), name
    assert float(models[1]["workers.mfcc.normalise.count"]) >= 10 * 42
    weights = [torch.load(path, weights_only=True)["weights"] for path in (whole, continued)]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_weights_scale_gradients_and_weight_0_leaves_a_worker_out(config: dict[str, Any], tmp_path: Path) -> None:
    """One step of plain gradients: Adam's first moment after it is a tenth of the gradient."""
    one_step = {**config, "train": {**config["train"], "steps": 1, "betas": [0.9, 0.999], "clip": 1e9}}

    def moments(workers: dict[str, float]) -> list[torch.Tensor]:
        folder = tmp_path / "-".join(f"{name}{weight}" for name, weight in workers.items())
        options = {"worker_options": {}}
        state = torch.load(
            pretrain({**one_step, "workers": workers, **options}, folder, 0, CPU).with_name("training.pt"),
            weights_only=True,
        )
        optimizer: dict[int, dict[str, torch.Tensor]] = state["optimizer"]["state"]
        return [entry["exp_avg"] for entry in optimizer.values()]

    mfcc, spc = moments({"mfcc": 1.0}), moments({"spc": 1.0, "mfcc": 0.0})
    both = moments({"mfcc": 3.0, "spc": 0.5})
    shared = 20
    largest = max(float(tensor.abs().max()) for tensor in both[:shared])
    for of_both, of_mfcc, of_spc in zip(both[:shared], mfcc[:shared], spc[:shared]):
        torch.testing.assert_close(of_both, 3 * of_mfcc + 0.5 * of_spc, rtol=1e-3, atol=1e-5 * largest)


def test_parts_start_from_their_own_seeds(config: dict[str, Any]) -> None:
    every = build_objective(build(PasePretraining, config), 3)
    less = {"workers": {"spc": 1.0}, "worker_options": {}}
    alone = build_objective(build(PasePretraining, {**config, **less}), 3)
    held = every.state_dict()
    for name, tensor in alone.state_dict().items():
        assert torch.equal(tensor, held[name]), name
    other = build_objective(build(PasePretraining, config), 4).state_dict()
    assert not torch.equal(other["workers.lim.network.first.weight"], held["workers.lim.network.first.weight"])


def test_no_batch_has_a_single_crop(tmp_path: Path) -> None:
    utterances = [Utterance(tmp_path / str(number), 16000) for number in range(5)]
    crops = PairedCrops(utterances, range(5), FRAMES, seconds=2.0, longest=100, seed=0)
    epochs = [crops.epoch(number) for number in range(20)]
    assert all([len(batch) for batch in epoch] == [2, 2] for epoch in epochs)
    assert {crop.index for epoch in epochs for batch in epoch for crop in batch} == set(range(5))


def test_a_folder_of_another_pretraining_is_refused(config: dict[str, Any], tmp_path: Path) -> None:
    config["train"]["steps"] = 1
    path = pretrain(config, tmp_path / "run", 0, CPU)
    before = path.with_name("training.pt").stat().st_mtime_ns
    assert pretrain(config, tmp_path / "run", 0, CPU) == path
    assert path.with_name("training.pt").stat().st_mtime_ns == before
    with pytest.raises(CheckpointError, match="holds a pretraining with another seed; choose another folder"):
        pretrain(config, tmp_path / "run", 1, CPU)
    with pytest.raises(CheckpointError, match="with another config"):
        pretrain({**config, "random_scale": True}, tmp_path / "run", 0, CPU)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder": "huge"}, "encoder is 'huge'; .*Known: pase, plus, tiny"),
        ({"workers": {}}, "workers must have a weight above 0, found none"),
        ({"workers": {"mfcc": 0.0}}, "workers must have a weight above 0, found none"),
        ({"workers": {"mfcc": -1.0}}, r"workers\.mfcc must not be negative, found -1\.0"),
        ({"workers": {"mfc": 1.0}, "worker_options": {}}, "unknown worker 'mfc'; did you mean 'mfcc'"),
        ({"worker_options": {"lps": {}}}, r"worker_options\.lps is not among workers; .*Known: f0, gim"),
        ({"worker_options": {"spc": {"gab": 3}}}, r"unknown key worker_options\.spc\.gab; did you mean 'gap'"),
        ({"distortions": {"nois": {}}}, "unknown distortion 'nois'; did you mean 'noise'"),
        ({"chunk": 0.4}, r"chunk is 0\.4 seconds and worker spc needs 0\.42; lengthen chunk"),
        ({"chunk": 0.425}, r"chunk must be a multiple of 0\.01 seconds, found 0\.425"),
        ({"chunk": 0.6}, r"speech\.shortest must be at least chunk = 0\.6 seconds, found 0\.5"),
        ({"sample": 0}, "sample must be at least 1 chunk, found 0"),
    ],
)
def test_bad_configurations(config: dict[str, Any], tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pretrain({**config, **change}, tmp_path / "run", 0, CPU)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("speech", {"batch": 1.5}, r"speech\.batch must hold two crops of 0\.8 seconds, found 1\.5"),
        ("speech", {"longest": 0.45}, r"speech\.longest must be at least shortest = 0\.5, found 0\.45"),
        ("speech", {"held_out": 0.01}, "leaves 19 utterances to train on, 1 to validate on; two are needed of each"),
        ("train", {"weights": {"mfcc": 2.0}}, r"train\.weights must be empty: weights stand in workers"),
        ("train", {"lr_of": {"encodr": 1.0}}, r"train\.lr_of names 'encodr', no parameter's; did you mean 'encoder'"),
    ],
)
def test_bad_speech_and_training(
    config: dict[str, Any], tmp_path: Path, part: str, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        pretrain({**config, part: {**config[part], **change}}, tmp_path / "run", 0, CPU)
    assert not (tmp_path / "run").exists()


def test_missing_speech_is_named(config: dict[str, Any], tmp_path: Path) -> None:
    config["speech"]["folders"] = ["none"]
    with pytest.raises(CorpusError, match=r"none must be a folder with \.wav or \.flac files"):
        pretrain(config, tmp_path / "run", 0, CPU)


@pytest.mark.parametrize(("name", "count"), [("pase_tiny", 7), ("pase_base", 7), ("pase_plus", 12)])
def test_shipped_configurations_build(name: str, count: int) -> None:
    config = build(PasePretraining, load_yaml(shipped_configs() / "pretrain" / f"{name}.yaml"))
    objective = build_objective(config, 0)
    assert len(objective.workers) == count
    sizes = {name: worker.target.dim for name, worker in objective.workers.items() if hasattr(worker, "target")}
    if name == "pase_plus":
        wanted = dict.fromkeys(("fbank", "fbank_long", "gammatone", "gammatone_long"), 120)
        wanted |= {"lps": 3075, "lps_long": 3075, "mfcc": 39, "mfcc_long": 60, "prosody": 12}
        assert sizes == {name: 7 * dim for name, dim in wanted.items()}
    if name == "pase_base":
        assert sizes == {"lps": 1025, "mfcc": 20, "prosody": 4}
