"""vCLUB against closed forms and plain loops, what its health says, what training against it does, exact resume."""

import io
import math
from itertools import permutations

import pytest
import torch
from torch import Tensor, nn

from s3prl_plugins.pretrain.mutual_information import Club, other_rows

DIM = 4


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def correlated(rho: float, rows: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Unit Gaussians; dimension d of x and of y have correlation rho, everything else is independent."""
    x, noise = torch.randn(2, rows, DIM, generator=random)
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def small(seed: int = 0, outputs: int = DIM, inner_steps: int = 5, lr: float = 3e-3) -> Club:
    torch.manual_seed(seed)
    return Club(DIM, outputs, hidden=32, inner_steps=inner_steps, lr=lr)


def trained(rho: float, fits: int = 100) -> Club:
    club, random = small(), generator(1)
    for _ in range(fits):
        club.fit(*correlated(rho, 128, random))
    return club


def gaussian(club: Club, x: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return club.mean(x), club.log_variance(x).exp()


def loop(club: Club, x: Tensor, y: Tensor, pairs: list[tuple[int, int]]) -> float:
    """Mean over pairs (i, j) of log q(y_i | x_i) - log q(y_j | x_i), frame by frame."""
    means, variances = (values.double() for values in gaussian(club, x))
    y = y.double().unsqueeze(1) if y.dim() == 2 else y.double()
    total = 0.0
    for i, j in pairs:
        for own, other in zip(y[i], y[j]):
            gap = (other - means[i]).square() - (own - means[i]).square()
            total += float((gap / variances[i] / 2).sum()) / y.shape[1]
    return total / len(pairs)


@pytest.mark.parametrize("rho", [0.3, 0.5, 0.7, 0.9])
def test_correlated_gaussians(rho: float) -> None:
    """A perfect q gives rho^2 / variance per dimension, its variance 1 - rho^2 but not below 1 / e, and the
    information, -log(1 - rho^2) / 2, is less."""
    perfect = DIM * rho**2 / max(1 - rho**2, math.exp(-1))
    information = -DIM * math.log(1 - rho**2) / 2
    x, y = correlated(rho, 20000, generator(2))
    club = trained(rho)
    found = float(club.estimate(x, y))
    assert found == pytest.approx(perfect, rel=0.12, abs=0.06)
    assert found > information
    assert float(club.estimate(x, y, other_rows(len(x), generator(3)))) == pytest.approx(perfect, rel=0.14, abs=0.07)
    assert club.health["q_likelihood"] > club.health["q_baseline"]


def test_independence_is_near_zero_and_identity_far_above() -> None:
    x, y = correlated(0.0, 20000, generator(2))
    assert abs(float(trained(0.0).estimate(x, y))) < 0.05
    assert float(trained(1.0).estimate(x, x)) == pytest.approx(DIM * math.e, rel=0.1)


@pytest.mark.parametrize("shape", [(9, DIM), (9, 1, DIM), (5, 7, DIM), (2, 3, DIM)])
def test_all_pairs_equal_a_double_loop(shape: tuple[int, ...]) -> None:
    club, random = trained(0.7, fits=5), generator(4)
    x, y = torch.randn(shape[0], DIM, generator=random), torch.randn(shape, generator=random)
    pairs = [(i, j) for i in range(shape[0]) for j in range(shape[0]) if i != j]
    assert float(club.estimate(x, y)) == pytest.approx(loop(club, x, y, pairs), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("shape", [(6, DIM), (6, 5, DIM)])
def test_sampled_pairs_equal_a_loop_over_the_order(shape: tuple[int, ...]) -> None:
    club, random = trained(0.7, fits=5), generator(5)
    x, y = torch.randn(6, DIM, generator=random), torch.randn(shape, generator=random)
    order = torch.tensor([2, 0, 1, 5, 4, 3])
    wanted = loop(club, x, y, list(enumerate(order.tolist())))
    assert float(club.estimate(x, y, order)) == pytest.approx(wanted, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("shape", [(5, DIM), (5, 3, DIM)])
def test_the_sampled_form_is_unbiased(shape: tuple[int, ...]) -> None:
    """Over all rotations it is all pairs; over all permutations, which leave one row of five in its place on average,
    four fifths of it."""
    club, random = trained(0.7, fits=5), generator(6)
    x, y = torch.randn(5, DIM, generator=random), torch.randn(shape, generator=random)
    every = float(club.estimate(x, y))
    rotations = [float(club.estimate(x, y, torch.arange(5).roll(shift))) for shift in range(1, 5)]
    assert sum(rotations) / 4 == pytest.approx(every, rel=1e-4, abs=1e-5)
    shuffles = [float(club.estimate(x, y, torch.tensor(order))) for order in permutations(range(5))]
    assert sum(shuffles) / 120 == pytest.approx(every * 4 / 5, rel=1e-4, abs=1e-5)


def test_other_rows_are_others_and_each_is_as_likely() -> None:
    random = generator(0)
    drawn = torch.stack([other_rows(5, random) for _ in range(4000)])
    assert torch.equal(drawn.sort(1).values, torch.arange(5).expand(4000, 5))
    counts = torch.nn.functional.one_hot(drawn, 5).sum(0)
    assert counts.diagonal().sum() == 0
    assert bool(((counts - 1000).abs() < 120)[~torch.eye(5, dtype=torch.bool)].all())


def test_frames_of_equal_value_count_as_one() -> None:
    club = trained(0.7, fits=5)
    x, y = correlated(0.7, 16, generator(7))
    frames = y.unsqueeze(1).expand(16, 6, DIM)
    torch.testing.assert_close(club.estimate(x, frames), club.estimate(x, y))
    assert club.fit(x, frames) == pytest.approx(trained(0.7, fits=5).fit(x, y), rel=1e-5)


def test_the_estimate_rises_while_q_learns() -> None:
    club, random = small(lr=1e-3), generator(1)
    x, y = correlated(0.8, 5000, generator(2))
    found = [float(club.estimate(x, y))]
    likelihoods = [club.fit(*correlated(0.8, 256, random))]
    for fits in (15, 40, 150):
        for _ in range(fits):
            likelihoods.append(club.fit(*correlated(0.8, 256, random)))
        found.append(float(club.estimate(x, y)))
    assert abs(found[0]) < 1e-6
    assert found == sorted(found)
    assert found[-1] > 4
    assert sum(likelihoods[-20:]) / 20 > likelihoods[0] + 0.2


def test_the_likelihood_is_that_of_the_gaussian_before_the_inner_steps() -> None:
    club = trained(0.7, fits=20)
    x, y = torch.randn(8, DIM), torch.randn(8, 3, DIM)
    mean, variance = gaussian(club, x)
    density = torch.distributions.Normal(mean.unsqueeze(1), variance.sqrt().unsqueeze(1)).log_prob(y).mean()
    before = club.fit(x, y)
    assert before == pytest.approx(float(density) + math.log(2 * math.pi) / 2, rel=1e-4)
    assert club.fit(x, y) > before


def test_the_baseline_is_the_gaussian_of_all_batches() -> None:
    club, random = small(inner_steps=1), generator(3)
    batches = [2 * torch.randn(6, 5, DIM, generator=random) + torch.arange(DIM) for _ in range(30)]
    for y in batches:
        club.fit(torch.randn(6, DIM, generator=random), y)
    seen = torch.cat(batches).flatten(0, 1)
    torch.testing.assert_close(club.get_buffer("baseline_mean"), seen.mean(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(club.get_buffer("baseline_variance"), seen.var(0, correction=0), rtol=1e-4, atol=1e-4)
    best = torch.distributions.Normal(seen.mean(0), seen.std(0, correction=0))
    wanted = float(best.log_prob(batches[-1]).mean()) + math.log(2 * math.pi) / 2
    assert club.health["q_baseline"] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(
    ("rho", "lr", "spread", "underfit"),
    [(0.7, 3e-3, 1.0, False), (0.7, 1e-7, 1.0, True), (0.0, 3e-3, 1.0, True), (0.7, 3e-3, 0.1, True)],
    ids=["learned", "too slow", "nothing shared", "y is too small for q's variances"],
)
def test_underfit_where_x_does_not_help_q(rho: float, lr: float, spread: float, underfit: bool) -> None:
    club, random = small(inner_steps=2, lr=lr), generator(1)
    for fits in range(220):
        assert fits >= 200 or not club.underfit
        x, y = correlated(rho, 64, random)
        club.fit(x, spread * y)
    assert club.underfit is underfit


def test_only_fit_changes_q_and_only_encoders_get_gradients() -> None:
    club = small()
    assert not any(parameter.requires_grad for parameter in club.parameters())
    x, y = (values.requires_grad_() for values in correlated(0.8, 32, generator(1)))
    before = [parameter.clone() for parameter in club.parameters()]
    with torch.no_grad():
        club.fit(x, y)
    assert x.grad is None
    assert y.grad is None
    assert all(not torch.equal(old, new) for old, new in zip(before, club.parameters()))
    after = [parameter.clone() for parameter in club.parameters()]
    torch.autograd.backward(club.estimate(x, y))
    assert x.grad is not None
    assert y.grad is not None
    assert float(x.grad.abs().min(0).values.max()) > 0
    assert float(y.grad.abs().min(0).values.max()) > 0
    assert all(torch.equal(old, new) for old, new in zip(after, club.parameters()))
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in club.parameters())


def test_a_fit_between_estimate_and_backward_changes_no_gradient() -> None:
    gradients = []
    for fits in (0, 3):
        club = trained(0.7, fits=20)
        x, y = (values.requires_grad_() for values in correlated(0.7, 16, generator(4)))
        value = club.estimate(x, y)
        for _ in range(fits):
            club.fit(x, y)
        gradients.append(torch.autograd.grad(value, [x, y]))
    assert all(torch.equal(plain, after) for plain, after in zip(*gradients))


def test_gradients_are_right() -> None:
    club = trained(0.7, fits=20)
    x, y = torch.randn(5, DIM, generator=generator(0)), torch.randn(5, 2, DIM, generator=generator(1))
    x.requires_grad_()
    y.requires_grad_()
    torch.autograd.backward(club.estimate(x, y))
    assert x.grad is not None
    assert y.grad is not None
    random, step = generator(2), 1e-2
    for values in (x, y):
        direction = torch.randn(values.shape, generator=random)
        direction /= direction.norm()
        with torch.no_grad():
            values += step * direction
            up = float(club.estimate(x, y))
            values -= 2 * step * direction
            down = float(club.estimate(x, y))
            values += step * direction
        assert (up - down) / (2 * step) == pytest.approx(float((values.grad * direction).sum()), rel=0.02, abs=1e-3)


def explained(codes: Tensor, wanted: Tensor) -> float:
    """Share of the variance of `wanted` that a linear probe finds in the codes, heard through a little noise."""
    codes = codes + 0.3 * torch.randn(codes.shape, generator=generator(8))
    codes, wanted = codes - codes.mean(0), wanted - wanted.mean(0)
    rest = wanted - codes @ torch.linalg.lstsq(codes, wanted).solution
    return 1 - float(rest.square().sum() / wanted.square().sum())


@pytest.mark.parametrize("sampled", [False, True])
def test_training_against_it_removes_what_is_shared_and_no_more(sampled: bool) -> None:
    """Frames mix a content, each frame's own, with the voice of their utterance. An encoder that is trained to keep the
    content comes to drop the voice where the estimate weighs in, and keeps it where it does not."""

    def learn(weight: float) -> tuple[float, float]:
        torch.manual_seed(0)
        random = generator(1)
        mix = torch.randn(8, 8, generator=random)
        encoder, decoder, club = nn.Linear(8, 8), nn.Linear(8, 4), Club(4, 8, hidden=32, lr=3e-3)
        norm = nn.BatchNorm1d(8, affine=False)
        optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=3e-3)

        def batch(rows: int) -> tuple[Tensor, Tensor, Tensor]:
            voice, content = torch.randn(rows, 4, generator=random), torch.randn(rows, 5, 4, generator=random)
            return voice, content, torch.cat([voice.unsqueeze(1).expand(rows, 5, 4), content], 2) @ mix

        def encode(frames: Tensor) -> Tensor:
            return norm(encoder(frames).flatten(0, 1)).view_as(frames)

        for _ in range(250):
            voice, content, frames = batch(32)
            codes = encode(frames)
            club.fit(voice, codes)
            order = other_rows(32, random) if sampled else None
            loss = (decoder(codes) - content).square().mean() + weight * club.estimate(voice, codes, order)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        voice, content, frames = batch(1000)
        with torch.no_grad():
            codes = encode(frames).flatten(0, 1)
        return explained(codes, voice.repeat_interleave(5, 0)), explained(codes, content.flatten(0, 1))

    voice, content = learn(0.0)
    assert voice > 0.6
    assert content > 0.9
    voice, content = learn(0.1)
    assert voice < 0.2
    assert content > 0.9


def test_a_resumed_run_is_the_same_bit_by_bit() -> None:
    def go_on(club: Club, start: int, stop: int) -> list[float]:
        found = []
        for step in range(start, stop):
            x, y = correlated(0.6, 16, generator(step))
            found += [club.fit(x, y), float(club.estimate(x, y)), club.health["q_baseline"], float(club.underfit)]
        return found

    straight = small()
    wanted = go_on(straight, 0, 205)
    first = small()
    go_on(first, 0, 198)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    resumed = small(seed=9)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert go_on(resumed, 198, 205) == wanted[198 * 4 :]
    for name, value in straight.state_dict().items():
        if isinstance(value, Tensor):
            assert torch.equal(value, resumed.state_dict()[name])
    torch.testing.assert_close(resumed.get_extra_state(), straight.get_extra_state(), rtol=0, atol=0)


def test_loading_shares_nothing_with_the_source() -> None:
    source, copy = trained(0.6, fits=3), small(seed=5)
    copy.load_state_dict(source.state_dict())
    x, y = correlated(0.6, 16, generator(0))
    likelihood = source.fit(x, y)
    source.fit(x, y)
    again = trained(0.6, fits=3)
    assert copy.fit(x, y) == likelihood
    again.fit(x, y)
    torch.testing.assert_close(copy.state_dict(), again.state_dict(), rtol=0, atol=0)


def test_a_batch_that_is_not_finite_is_left_out() -> None:
    club, same = trained(0.6, fits=3), trained(0.6, fits=3)
    x, y = correlated(0.6, 16, generator(0))
    y[3, 1] = torch.inf
    assert not math.isfinite(club.fit(x, y))
    torch.testing.assert_close(club.state_dict(), same.state_dict(), rtol=0, atol=0)


def test_is_float32_under_autocast() -> None:
    club, same = small(), small()
    x, y = correlated(0.6, 16, generator(0))
    with torch.autocast("cpu", torch.bfloat16):
        assert club.fit(x, y) == same.fit(x, y)
        found = club.estimate(x, y)
    assert found.dtype == torch.float32
    assert torch.equal(found, same.estimate(x, y))


def test_all_pairs_need_two_rows() -> None:
    with pytest.raises(ValueError, match="mutual information needs two rows at least, found 1; take larger batches"):
        small().estimate(torch.zeros(1, DIM), torch.zeros(1, DIM))


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_layers_are_linear_layers_of_either_network(layers: int) -> None:
    club = Club(3, 5, hidden=7, layers=layers)
    for network in (club.mean, club.log_variance):
        assert sum(isinstance(part, nn.Linear) for part in network) == layers
        assert network(torch.zeros(2, 3)).shape == (2, 5)
    assert float(club.log_variance(1e6 * torch.randn(50, 3)).abs().max()) <= 1
