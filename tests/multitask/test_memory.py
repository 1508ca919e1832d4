"""A frozen encoder that remembers gives what it would compute, once."""

import pytest
import torch

from s3prl_plugins.multitask.memory import RememberingTrunk
from s3prl_plugins.multitask.trunk import Trunk


class Counting(torch.nn.Module):
    """Frames of 320 samples, two layers, and how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = torch.nn.Linear(320, 4)
        self.calls = 0

    def get_downsample_rates(self, _key: str) -> int:
        return 320

    def forward(self, waves: list[torch.Tensor]) -> dict[str, list[torch.Tensor]]:
        self.calls += 1
        states = self.proj(torch.stack(waves).unfold(1, 320, 320))
        return {"hidden_states": [states, states.tanh()]}


def _waves() -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return [torch.randn(n, generator=random) for n in (640, 960, 640)]


def test_states_equal_the_trunks_and_are_computed_once() -> None:
    torch.manual_seed(0)
    upstream = Counting()
    plain = Trunk(upstream, "none")
    remembering = RememberingTrunk(plain, 1.0)
    waves = _waves()
    expected = {
        place: [layer[row] for layer in group.layers]
        for group in plain(waves)
        for row, place in enumerate(group.places)
    }
    for _ in range(2):
        groups = remembering(waves)
        assert [group.places for group in groups] == [[0], [1], [2]]
        for group in groups:
            for layer, wanted in zip(group.layers, expected[group.places[0]]):
                torch.testing.assert_close(layer[0], wanted)
    calls = upstream.calls
    remembering(waves[::-1])
    assert upstream.calls == calls


def test_a_crop_is_another_utterance() -> None:
    remembering = RememberingTrunk(Trunk(Counting(), "none"), 1.0)
    wave = _waves()[1]
    whole, crop = remembering([wave, wave[:640]])
    assert (whole.frames, crop.frames) == ([3], [2])


def test_what_does_not_fit_is_computed_again() -> None:
    upstream = Counting()
    size = 2 * 2 * 4 * 4
    remembering = RememberingTrunk(Trunk(upstream, "none"), size / 1e9)
    first, _, third = _waves()
    remembering([first, third])
    before = upstream.calls
    again = remembering([first, third])
    assert upstream.calls == before + 1
    assert len(again) == 2


def test_a_padding_trunk_is_refused() -> None:
    with pytest.raises(ValueError, match="padding 'none' only, found 'batch'"):
        RememberingTrunk(Trunk(Counting(), "batch"), 1.0)
