"""Two encoders share an identity only if they compute the same."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from s3prl_plugins.features import identity as identities
from s3prl_plugins.features.identity import describe, identity
from s3prl_plugins.multitask.stock import stock_args
from s3prl_plugins.multitask.upstream import build_upstream


@dataclasses.dataclass
class Settings:
    normalize: bool = False
    data: str = "/data/of/someone"


class Encoder(nn.Module):
    def __init__(self, hop: int = 320, settings: Settings | None = None, **options: object) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.inner = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.config = {"hop": hop, "kinds": ["mel", 80]}
        self.task_cfg = settings or Settings()
        self.options = argparse.Namespace(**options)

    def get_downsample_rates(self, _view: str) -> int:
        return 320


class Other(Encoder):
    pass


def of(encoder: nn.Module) -> str:
    return identity(encoder, "hidden_states", None)


def one_bit(encoder: Encoder) -> Encoder:
    bits = encoder.inner[0].weight.data.view(torch.int32)
    bits[0, 0] ^= 1
    return encoder


def a_buffer(encoder: Encoder) -> Encoder:
    encoder.inner[1].running_mean[0] += 1
    return encoder


@pytest.mark.parametrize(
    "other",
    [
        lambda: one_bit(Encoder()),
        lambda: a_buffer(Encoder()),
        lambda: Encoder().half(),
        lambda: Encoder(hop=160),
        lambda: Encoder(settings=Settings(normalize=True)),
        lambda: Encoder(power=2.0),
        lambda: Other(),
        lambda: nn.Sequential(Encoder()),
    ],
)
def test_whatever_changes_states_changes_the_identity(other: Callable[[], nn.Module]) -> None:
    assert of(other()) != of(Encoder())


def test_what_does_not_change_states_does_not() -> None:
    elsewhere = Encoder(settings=Settings(data="/data/of/another"))
    assert of(elsewhere) == of(Encoder()) == of(Encoder().eval().requires_grad_(False))


def test_view_layer_and_normalisation_are_part_of_it() -> None:
    encoder = Encoder()
    found = {
        identity(encoder, "hidden_states", None),
        identity(encoder, "frame", None),
        identity(encoder, "hidden_states", 0),
        identity(encoder, "hidden_states", None, normalize=True),
    }
    assert len(found) == 4


def test_format_and_versions_are_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = of(Encoder())
    monkeypatch.setattr(identities, "FORMAT", identities.FORMAT + 1)
    changed = of(Encoder())
    monkeypatch.setattr(identities, "version", lambda _name: "0.0")
    other = of(Encoder())
    monkeypatch.setattr("s3prl_plugins.__version__", "0.0")
    assert len({before, changed, other, of(Encoder())}) == 4


def test_the_code_is_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same class by name, its forward changed."""
    found = []
    for sign in "+-":
        folder = tmp_path / ("plus" if sign == "+" else "minus")
        folder.mkdir()
        (folder / "changing_encoder.py").write_text(
            f"import torch\nclass E(torch.nn.Module):\n    def forward(self, x):\n        return {sign}x\n"
        )
        monkeypatch.syspath_prepend(str(folder))
        sys.modules.pop("changing_encoder", None)
        from changing_encoder import E

        found.append(of(E()))
    monkeypatch.delitem(sys.modules, "changing_encoder")
    assert found[0] != found[1]


def test_a_hubert_keeps_its_identity_through_a_forward_and_another_build() -> None:
    """torch's weight norm leaves its product behind a forward; feature extraction changes nothing else."""
    first, second = (build_upstream(stock_args(upstream="hubert_tiny")).eval() for _ in range(2))
    before = of(first)
    with torch.no_grad():
        first([torch.randn(4000)])
    assert before == of(first) == of(second)
    with torch.no_grad():
        second.model.encoder.layers[0].fc1.bias[0] += 1e-4
    assert of(second) != before


def test_fbank_and_mfcc_have_no_weights_but_are_not_the_same() -> None:
    fbank, mfcc = (build_upstream(stock_args(upstream=name)) for name in ("fbank", "mfcc"))
    assert of(fbank) != of(mfcc)
    assert of(fbank) == of(build_upstream(stock_args(upstream="fbank")))


def test_people_read_what_it_is() -> None:
    about = describe(Encoder(), "hidden_states", None)
    assert about["upstream"].endswith("test_store_identity.Encoder") and about["rate"] == 320
    assert about["parameters"] == 28 and about["view"] == "hidden_states"
