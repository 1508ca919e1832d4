"""The objective of one encoder and many workers, on a toy encoder."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from s3prl_plugins.pretrain.multi_worker import MultiWorker, cut_two, scale_at_random
from s3prl_plugins.pretrain.objective import Batch
from s3prl_plugins.pretrain.workers import Regression, Views, Worker, build_worker

DIM = 5
CHUNK = 160 * 45


class Frames(nn.Module):
    """Linear in the 160 samples of each frame."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(160, DIM)
        self.heard: list[Tensor] = []

    def forward(self, waves: Tensor) -> Tensor:
        self.heard.append(waves.detach().clone())
        embedded: Tensor = self.linear(waves.unfold(1, 160, 160))
        return embedded


class Spy(Worker):
    """Notes what it is given and draws a number."""

    pairs = True

    def __init__(self) -> None:
        super().__init__()
        self.views: list[Views] = []
        self.drawn: list[float] = []

    def forward(self, views: Views, random: torch.Generator) -> Tensor:
        self.views.append(views)
        self.drawn.append(float(torch.rand((), generator=random)))
        return views.chunk.square().mean()


def objective(workers: Mapping[str, Worker], **options: object) -> MultiWorker:
    torch.manual_seed(0)
    return MultiWorker(Frames(), workers, CHUNK, **options)  # type: ignore[arg-type]


def batch(rows: int = 3, samples: int = 4 * CHUNK, seed: int = 0) -> Batch:
    random = torch.Generator().manual_seed(seed)
    return Batch(0.3 * torch.randn(rows, samples, generator=random), [])


def generator(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_one_pass_of_the_encoder_gives_every_view() -> None:
    spy = Spy()
    model = objective({"spy": spy})
    losses = model(batch(), generator())
    assert set(losses.terms) == {"spy"}
    [heard], [views] = model.encoder.heard, spy.views
    assert heard.shape == (6, CHUNK)
    assert torch.equal(heard[:3], views.clean)
    torch.testing.assert_close(views.chunk, model.encoder(heard[:3]))
    torch.testing.assert_close(views.context, model.encoder(heard[3:]))
    torch.testing.assert_close(views.other, views.context[[1, 2, 0]])


def test_the_context_is_not_embedded_where_no_worker_looks_at_it() -> None:
    spy, rms = Spy(), build_worker("rms", DIM)
    spy.pairs = False
    alone, among = objective({"rms": rms, "spy": spy}), objective({"rms": rms, "lim": build_worker("lim", DIM)})
    among.encoder.load_state_dict(alone.encoder.state_dict())
    found, expected = alone(batch(), generator()).terms["rms"], among(batch(), generator()).terms["rms"]
    assert [len(heard) for heard in alone.encoder.heard + among.encoder.heard] == [3, 6]
    torch.testing.assert_close(found, expected)
    assert spy.views[0].context.shape == spy.views[0].other.shape == (0, 45, DIM)


def test_stretches_come_from_their_row_and_do_not_overlap() -> None:
    waves = torch.arange(1000.0).expand(200, -1) + 1000 * torch.arange(200.0).unsqueeze(1)
    chunk, context = cut_two(waves, 300, generator())
    for stretch in (chunk, context):
        assert torch.equal(stretch.diff(dim=1), torch.ones(200, 299))
        assert torch.equal(stretch[:, 0].div(1000, rounding_mode="floor"), torch.arange(200.0))
    assert (chunk[:, 0] - context[:, 0]).abs().min() >= 300
    assert 50 < int((chunk[:, 0] < context[:, 0]).sum()) < 150


def test_all_pairs_of_places_are_equally_likely() -> None:
    chunk, context = cut_two(torch.arange(7.0).expand(30000, -1), 2, generator())
    pairs, counts = torch.stack([chunk[:, 0], context[:, 0]], 1).unique(dim=0, return_counts=True)
    wanted = [[a, b] for a in range(6) for b in range(6) if abs(a - b) >= 2]
    assert pairs.tolist() == wanted
    expected = 30000 / len(wanted)
    assert float(((counts - expected) ** 2 / expected).sum()) < 43  # chi square, 19 degrees: 0.1 %


@pytest.mark.parametrize(("samples", "starts"), [(600, {0, 300}), (500, {0, 200}), (300, {0})])
def test_short_rows_give_their_ends(samples: int, starts: set[int]) -> None:
    chunk, context = cut_two(torch.arange(float(samples)).expand(50, -1), 300, generator())
    assert {*chunk[:, 0].tolist(), *context[:, 0].tolist()} == starts
    assert torch.equal(chunk[:, 0] + context[:, 0], torch.full((50,), samples - 300.0))


def test_rows_that_are_too_short_are_refused() -> None:
    with pytest.raises(ValueError, match="crops must have 300 samples, found 299"):
        cut_two(torch.zeros(2, 299), 300, generator())


def test_random_scale_brings_the_peak_anywhere_up_to_1() -> None:
    waves = torch.randn(2000, 50)
    waves[0] = 0
    scaled = scale_at_random(waves, generator())
    peaks = scaled.abs().amax(1)
    assert peaks[0] == 0
    assert 0.48 < float(peaks[1:].mean()) < 0.52
    assert 0.97 < float(peaks.max()) <= 1.0
    again = waves[1:] * (peaks / waves.abs().amax(1)).unsqueeze(1)[1:]
    torch.testing.assert_close(scaled[1:], again)


def test_random_scale_and_distortions_reach_the_right_waves() -> None:
    spy = Spy()
    model = objective({"spy": spy}, random_scale=True, distort=lambda waves, random: waves.sign())
    waves = batch(50)
    model(waves, generator())
    [heard], [views] = model.encoder.heard, spy.views
    assert torch.equal(heard[:50], views.clean.sign())
    peaks = views.clean.abs().amax(1)
    assert 0.3 < float(peaks.mean()) < 0.7
    context = heard[50:]
    assert 0.3 < float(context.abs().amax(1).mean()) < 0.7
    assert not torch.equal(context, context.sign())


def test_a_worker_draws_the_same_with_and_without_others() -> None:
    alone, among = Spy(), Spy()
    objective({"spy": alone})(batch(), generator())
    others = {"spc": build_worker("spc", DIM), "first": Spy(), "spy": among, "lim": build_worker("lim", DIM)}
    model = objective(others)
    model(batch(), generator())
    assert alone.drawn == among.drawn
    assert torch.equal(alone.views[0].clean, among.views[0].clean)
    assert among.drawn != others["first"].drawn  # type: ignore[comparison-overlap]
    model(batch(), generator(8))
    assert among.drawn[0] != among.drawn[1]


def test_the_objective_is_a_function_of_batch_and_generator() -> None:
    workers = {name: build_worker(name, DIM) for name in ("rms", "lim", "gim", "spc")}
    model = objective(workers, random_scale=True)
    first, again, other = (model(batch(), generator(seed)).terms for seed in (7, 7, 8))
    for name in workers:
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])


def test_fit_measures_chunks_as_training_cuts_them() -> None:
    worker = build_worker("rms", DIM)
    assert isinstance(worker, Regression)
    spy = Spy()
    model = objective({"rms": worker, "spy": spy, "lim": build_worker("lim", DIM)}, random_scale=True)
    batches = [batch(rows, seed=rows) for rows in (2, 4)]
    model.fit([(part.waves, generator(number)) for number, part in enumerate(batches)])
    for number, part in enumerate(batches):
        model(part, generator(number))
    seen = torch.cat([worker.target(views.clean).flatten() for views in spy.views]).double()
    torch.testing.assert_close(worker.normalise.mean, seen.mean().reshape(1))
    torch.testing.assert_close(worker.normalise.squares / worker.normalise.count, seen.var(correction=0).reshape(1))


def test_gradients_reach_the_encoder_from_every_worker() -> None:
    names = ("waveform", "mfcc", "prosody", "f0", "lim", "gim", "spc")
    workers = {name: build_worker(name, DIM, {"channels": [4, 4, 2]} if name == "waveform" else {}) for name in names}
    model = objective(workers)
    for name, term in model(batch(), generator()).terms.items():
        [gradient] = torch.autograd.grad(term, [model.encoder.linear.weight], retain_graph=True)
        assert term.shape == ()
        assert term.dtype == torch.float32
        assert float(gradient.abs().max()) > 0, name


@pytest.mark.parametrize("name", ["mfcc", "waveform", "lim", "gim", "spc"])
def test_losses_are_float32_under_autocast(name: str) -> None:
    model = objective({name: build_worker(name, DIM)})
    with torch.autocast("cpu", torch.bfloat16):
        [loss] = model(batch(), generator()).terms.values()
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, model(batch(), generator()).terms[name], atol=0.02, rtol=0.02)
