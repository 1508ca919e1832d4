"""The quasi-recurrent layer of PASE+ in plain PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

__all__ = ["QuasiRecurrence"]


class QuasiRecurrence(nn.Module):
    """QRNN with forget and output gates over windows of two frames (arXiv 1611.01576), from left to right.

    (z, f, o) = W [x_t, x_{t-1}] + b, c_t = sigmoid(f) tanh(z) + (1 - sigmoid(f)) c_{t-1}, h_t = sigmoid(o) c_t, where x and
    c are 0 before the first frame. The paper's f is one minus this one: so it stands in the library of PASE's released
    code, salesforce/pytorch-qrnn. That code asks for two directions and is given one.

    :param inputs: channels in.
    :param size: channels out.
    """

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * inputs, 3 * size)

    def forward(self, frames: Tensor) -> Tensor:
        """(batch, frames, inputs) -> (batch, frames, size)."""
        before = pad(frames, (0, 0, 1, 0))[:, :-1]
        values, forget, output = self.linear(torch.cat([frames, before], 2)).float().chunk(3, 2)
        state = torch.zeros_like(values[:, 0])
        states = []
        for value, gate in zip(values.tanh().unbind(1), forget.sigmoid().unbind(1)):
            state = torch.lerp(state, value, gate)
            states.append(state)
        gated: Tensor = torch.stack(states, 1) * output.sigmoid()
        return gated
