"""The pretraining loop: learns, logs, and goes on exactly where it was cut off."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from s3prl_plugins.balancers import LOSS_BALANCERS, build_balancer
from s3prl_plugins.errors import CheckpointError, ConfigError
from s3prl_plugins.logs import read_metrics
from s3prl_plugins.pretrain.config import TrainConfig
from s3prl_plugins.pretrain.objective import Batch, Losses
from s3prl_plugins.pretrain.parameters import by_part
from s3prl_plugins.pretrain.speech import Crops, Frames, find_speech
from s3prl_plugins.pretrain.trainer import Pretrainer

CONFIG = TrainConfig(steps=6, lr=1e-2, log_step=2, eval_step=3, save_step=2, weights={"noise": 0.0})


class Level(nn.Module):
    """Learns the audio's mean square; `noise` only shows that weights count."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(3.0))
        self.other = nn.Parameter(torch.zeros(()))
        self.drop = nn.Dropout(0.5)

    def forward(self, batch: Batch, random: torch.Generator) -> Losses:
        wanted = batch.waves.pow(2).mean() + 0.1 * torch.randn((), generator=random)
        guess = self.drop(self.level.expand(20)).mean()
        return Losses({"level": (guess - wanted).pow(2), "noise": (self.other - 7).pow(2)}, {"shown": 1.0})


@pytest.fixture
def crops(tmp_path: Path) -> Crops:
    random = np.random.default_rng(0)
    for number in range(8):
        soundfile.write(tmp_path / f"{number}.wav", 0.5 * random.standard_normal(8000).clip(-1, 1), 16000)
    utterances = find_speech([tmp_path], Frames(), 10)
    return Crops(utterances, range(8), Frames(), seconds=1.0, longest=20, seed=0)


def _trainer(crops: Crops, folder: Path, config: TrainConfig = CONFIG) -> Pretrainer:
    return Pretrainer(Level(), crops, replace(crops, chosen=[0, 1]), config, folder, 0, torch.device("cpu"))


def test_it_trains_validates_and_logs(crops: Crops, tmp_path: Path) -> None:
    trainer = _trainer(crops, tmp_path / "run", replace(CONFIG, steps=60, lr=0.2, eval_step=30))
    trainer.run()
    entries = read_metrics(tmp_path / "run")
    validated = [entry["dev/level"] for entry in entries if "dev/level" in entry]
    assert len(validated) == 2
    trained = [entry["train/level"] for entry in entries if "train/level" in entry]
    assert trained[-1] < 0.1 * trained[0]
    assert validated[-1] < 0.1 * trained[0]
    assert float(trainer.model.other.detach()) == 0.0  # a loss of weight 0


def test_cut_off_and_continued_ends_the_same(crops: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _trainer(crops, tmp_path / "whole")
    whole.run()
    cut = _trainer(crops, tmp_path / "cut")
    step = Pretrainer._step

    def until_five(self: Pretrainer, number: int, *rest: object) -> None:
        if number == 5:
            raise KeyboardInterrupt
        step(self, number, *rest)

    monkeypatch.setattr(Pretrainer, "_step", until_five)
    with pytest.raises(KeyboardInterrupt):
        cut.run()
    monkeypatch.undo()
    continued = _trainer(crops, tmp_path / "cut")
    continued.run()
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, continued.model.state_dict()[name])

    def numbers(folder: Path) -> list[dict[str, float]]:
        entries = read_metrics(folder)
        return [{k: v for k, v in entry.items() if "per_second" not in k} for entry in entries]

    assert numbers(tmp_path / "cut") == numbers(tmp_path / "whole")
    assert json.loads((tmp_path / "cut/metrics.jsonl").read_text().splitlines()[0])["step"] == 2


def test_parts_can_have_rates_of_their_own(crops: Crops, tmp_path: Path) -> None:
    model = nn.ModuleDict({"encoder": nn.ModuleList([nn.Linear(1, 2), nn.Linear(3, 4)]), "worker": nn.Linear(5, 6)})
    rates = {"encoder.": 0.3, "encoder.1.": 0.0, "worker": 0.3}
    config = replace(CONFIG, lr_of=rates)
    trainer = Pretrainer(model, crops, crops, config, tmp_path, 0, torch.device("cpu"))
    groups = zip(trainer.rates, trainer.optimizer.param_groups)
    held = {rate: {tuple(parameter.shape) for parameter in group["params"]} for rate, group in groups}
    assert held == {0.3: {(2, 1), (2,), (6, 5), (6,)}, 0.0: {(4, 3), (4,)}}
    with pytest.raises(ConfigError, match=r"train\.lr_of names 'workr', no parameter's; did you mean 'worker'"):
        Pretrainer(model, crops, crops, replace(CONFIG, lr_of={"workr": 1.0}), tmp_path, 0, torch.device("cpu"))


def test_a_part_of_rate_0_stays(crops: Crops, tmp_path: Path) -> None:
    trainer = _trainer(crops, tmp_path / "run", replace(CONFIG, lr_of={"level": 0.0}, weights={}))
    trainer.run()
    assert float(trainer.model.level.detach()) == 3.0
    assert float(trainer.model.other.detach()) > 0


def test_a_finished_run_is_left_alone(crops: Crops, tmp_path: Path) -> None:
    _trainer(crops, tmp_path / "run").run()
    before = (tmp_path / "run/training.pt").stat().st_mtime_ns
    _trainer(crops, tmp_path / "run").run()
    assert (tmp_path / "run/training.pt").stat().st_mtime_ns == before


def test_state_of_another_model_is_refused(crops: Crops, tmp_path: Path) -> None:
    _trainer(crops, tmp_path / "run").run()
    other = Pretrainer(nn.Linear(2, 2), crops, crops, CONFIG, tmp_path / "run", 0, torch.device("cpu"))
    with pytest.raises(CheckpointError, match=r"training\.pt does not fit this run"):
        other.run()


def test_parts_are_clipped_apart(crops: Crops, tmp_path: Path) -> None:
    """A huge gradient elsewhere leaves a part's own as it is: Adam's first moment after a step is a tenth of it."""
    config = replace(CONFIG, steps=1, clip=20.0, betas=(0.9, 0.999))

    def moment(name: str, weight: float, apart: list[str]) -> float:
        changed = replace(config, weights={"noise": weight})
        trainer = Pretrainer(Level(), crops, crops, changed, tmp_path / name, 0, torch.device("cpu"), apart)
        trainer.run()
        return float(trainer.optimizer.state[trainer.model.get_parameter("level")]["exp_avg"])

    alone = moment("alone", 0.0, [])
    assert moment("apart", 1e6, ["level"]) == alone
    assert abs(moment("together", 1e6, [])) < 1e-3 * abs(alone)
    assert [len(part) for part in by_part(Level(), ["level", "none"])] == [1, 1]


def test_a_balancer_weighs_each_step_and_its_state_is_kept(crops: Crops, tmp_path: Path) -> None:
    class Rising:
        """Weight of one tenth more than it has seen steps."""

        seen = 0

        def weights(self, step: int) -> dict[str, float]:
            return {"level": (self.seen + 1) / 10}

        def observe(self, step: int, losses: Mapping[str, float]) -> None:
            self.seen += 1
            assert step == self.seen
            assert losses["noise"] == 49.0
            assert losses.keys() == {"level", "noise"}

        def state_dict(self) -> dict[str, int]:
            return {"seen": self.seen}

        def load_state_dict(self, state: dict[str, int]) -> None:
            self.seen = state["seen"]

    def run(folder: Path, steps: int) -> Pretrainer:
        config = replace(CONFIG, steps=steps, lr=0.0, betas=(0.0, 0.999), clip=1e9)
        balancer = Rising()
        trainer = Pretrainer(Level(), crops, crops, config, folder, 0, torch.device("cpu"), balancer=balancer)
        trainer.run()
        assert balancer.seen == steps
        return trainer

    def gradient(trainer: Pretrainer, name: str) -> float:
        return float(trainer.optimizer.state[trainer.model.get_parameter(name)]["exp_avg"])

    run(tmp_path / "cut", 2)
    cut, whole = run(tmp_path / "cut", 4), run(tmp_path / "whole", 4)
    plain = _trainer(crops, tmp_path / "plain", replace(whole.config, weights={}))
    plain.run()
    assert gradient(cut, "level") == gradient(whole, "level") == pytest.approx(0.4 * gradient(plain, "level"))
    assert gradient(whole, "other") == pytest.approx(-14.0)  # not named: weight 1


@pytest.mark.parametrize("name", LOSS_BALANCERS)
def test_a_run_with_any_balancer_of_losses_goes_on_exactly(
    crops: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    options = {"dwa": {"window": 1}, "uncertainty": {"lr": 0.1}}.get(name, {})

    def trainer(folder: str) -> Pretrainer:
        both = ("level", "noise")
        balancer = build_balancer({"name": name, **options}, both, both, "loss", 0, LOSS_BALANCERS)
        config = replace(CONFIG, save_step=1, weights={})
        return Pretrainer(Level(), crops, crops, config, tmp_path / folder, 0, torch.device("cpu"), balancer=balancer)

    whole, cut = trainer("whole"), trainer("cut")
    whole.run()
    step = Pretrainer._step

    def until_four(self: Pretrainer, number: int, *rest: Any) -> None:
        if number == 4:
            raise KeyboardInterrupt
        step(self, number, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Pretrainer, "_step", until_four)
        cut.run()
    continued = trainer("cut")
    continued.run()
    assert continued.balancer.weights(7) == whole.balancer.weights(7)
    assert (continued.balancer.weights(7) == {"level": 1.0, "noise": 1.0}) == (name == "fixed")
    for key, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, continued.model.state_dict()[key])
