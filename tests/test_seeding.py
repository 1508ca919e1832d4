"""Named randomness: the same name draws the same, another name something else, and nothing global changes."""

import torch

from s3prl_plugins.seeding import derive, generator, seeded


def test_names_decide_the_draw() -> None:
    assert derive(1, "asr", 2) == derive(1, "asr", 2)
    seeds = {derive(seed, task, step) for seed in range(3) for task in ("asr", "pr") for step in range(50)}
    assert len(seeds) == 300
    assert derive(1, "a", "b") != derive(1, "ab") and derive(1, 23) != derive(12, 3)
    assert torch.equal(torch.rand(3, generator=generator(0, "x")), torch.rand(3, generator=generator(0, "x")))


def test_seeded_draws_alike_and_restores_the_global_state() -> None:
    before = torch.random.get_rng_state()
    with seeded(5, "step", 1):
        first = torch.rand(4)
    with seeded(5, "step", 1):
        assert torch.equal(torch.rand(4), first)
    with seeded(5, "step", 2):
        assert not torch.equal(torch.rand(4), first)
    assert torch.equal(torch.random.get_rng_state(), before)
