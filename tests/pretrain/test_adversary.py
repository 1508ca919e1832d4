"""Reversed gradients are exact; a classifier still learns and what feeds it forgets its classes."""

import math

import pytest
import torch
from torch import Tensor, nn

from s3prl_plugins.pretrain.adversary import Adversary, reverse_gradient


@pytest.mark.parametrize("scale", [0.0, 0.3, 1.0, 2.5])
def test_values_pass_and_gradients_come_back_times_minus_scale(scale: float) -> None:
    values = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    passed = reverse_gradient(values, scale)
    assert torch.equal(passed, values)
    torch.autograd.backward(passed.pow(3).sum())
    assert values.grad is not None
    torch.testing.assert_close(values.grad, -scale * 3 * values.detach().square())


def test_without_gradients_it_is_the_identity() -> None:
    values = torch.randn(2, 3)
    assert torch.equal(reverse_gradient(values, 1.0), values)
    assert not reverse_gradient(values, 1.0).requires_grad


def test_scale_changes_the_gradient_of_the_values_and_not_of_the_classifier() -> None:
    torch.manual_seed(0)
    adversary, labels = Adversary(5, 3, hidden=8), torch.tensor([[0, 1], [2, 0]])
    found = []
    for scale in (0.5, 2.0):
        values = torch.randn(2, 2, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
        adversary.zero_grad()
        loss, _ = adversary(values, labels, scale)
        torch.autograd.backward(loss)
        assert values.grad is not None
        found.append((values.grad, [weight.grad.clone() for weight in adversary.parameters()]))
    torch.testing.assert_close(found[1][0], 4 * found[0][0])
    torch.testing.assert_close(found[1][1], found[0][1])


def test_loss_and_accuracy_are_of_every_value() -> None:
    torch.manual_seed(0)
    adversary = Adversary(4, 3)
    values, labels = torch.randn(5, 7, 4), torch.randint(3, (5, 7))
    loss, accuracy = adversary(values, labels, 1.0)
    logits = adversary.classify(values)
    wanted = [-logits[i, j].log_softmax(0)[labels[i, j]] for i in range(5) for j in range(7)]
    torch.testing.assert_close(loss, torch.stack(wanted).mean())
    hits = [int(logits[i, j].argmax()) == int(labels[i, j]) for i in range(5) for j in range(7)]
    assert accuracy == pytest.approx(sum(hits) / 35)


def test_a_label_for_each_value() -> None:
    with pytest.raises(ValueError, match=r"values \(4, 2, 3\) need one label each, found \(2, 4\)"):
        Adversary(3, 2)(torch.zeros(4, 2, 3), torch.zeros(2, 4, dtype=torch.long), 1.0)


def learn(scale: float) -> tuple[float, Tensor]:
    """Train an encoder that must keep a number x and whose code goes to an adversary that looks for the class; how
    well a fresh linear classifier does on the codes afterwards, heard through noise, and the error of x."""
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(1)
    encoder, decoder, adversary = nn.Linear(4, 4), nn.Linear(4, 1), Adversary(4, 2, hidden=32)
    norm = nn.BatchNorm1d(4, affine=False)
    modules = nn.ModuleList([encoder, decoder, adversary])
    optimizer = torch.optim.SGD(modules.parameters(), lr=0.1)

    def batch(rows: int) -> tuple[Tensor, Tensor]:
        values = torch.randn(rows, 4, generator=random)
        labels = torch.randint(2, (rows,), generator=random)
        values[:, 1] = labels * 2.0 - 1
        return values, labels

    for _ in range(400):
        values, labels = batch(64)
        codes = norm(encoder(values))
        error = (decoder(codes)[:, 0] - values[:, 0]).square().mean()
        loss, _ = adversary(codes, labels, scale)
        optimizer.zero_grad()
        torch.autograd.backward(error + loss)
        optimizer.step()
    values, labels = batch(4000)
    with torch.no_grad():
        codes = norm(encoder(values))
        error = (decoder(codes)[:, 0] - values[:, 0]).square().mean()
    targets = labels * 2.0 - 1
    design = torch.cat([codes + 0.3 * torch.randn(4000, 4, generator=random), torch.ones(4000, 1)], 1)
    half = torch.linalg.lstsq(design[:2000], targets[:2000].unsqueeze(1)).solution
    probe = ((design[2000:] @ half)[:, 0].sign() == targets[2000:]).float().mean()
    return float(probe), error


def test_an_encoder_hides_the_class_and_keeps_its_task() -> None:
    kept, _ = learn(0.0)
    hidden, error = learn(0.3)
    assert kept > 0.95
    assert hidden < 0.7
    assert float(error) < 0.05


def test_guessing_costs_log_of_the_classes_at_first() -> None:
    torch.manual_seed(0)
    loss, accuracy = Adversary(16, 10)(torch.randn(500, 16), torch.randint(10, (500,)), 1.0)
    assert float(loss.detach()) == pytest.approx(math.log(10), abs=0.1)
    assert accuracy < 0.25
