"""What a forward and backward pass costs, counted while it runs: floating-point operations and memory of the graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

__all__ = ["Cost", "Curve", "curve", "measure"]


@dataclass(frozen=True)
class Cost:
    """Of one utterance, or summed over several."""

    forward: float = 0.0
    """Floating-point operations, a multiplication with its addition being two. Only matrix products, convolutions,
    attention and recurrent layers count; what works element by element does not."""
    both: float = 0.0
    """The same with the backward pass."""
    saved: float = 0.0
    """Bytes kept between the two, parameters left out."""

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.forward + other.forward, self.both + other.both, self.saved + other.saved)

    def __mul__(self, times: float) -> Cost:
        return Cost(self.forward * times, self.both * times, self.saved * times)


def measure(run: Callable[[], Tensor], parameters: Iterable[nn.Parameter]) -> Cost:
    """Count what `run` does, and what the backward pass from the scalar it returns does.

    Recomputation within a kernel's backward pass does not count. Gradients of the parameters are set to None.
    """
    own = list(parameters)
    known = {parameter.untyped_storage().data_ptr() for parameter in own}
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            # The graph keeps the tensor alive, so no other one gets this address.
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with FlopCounterMode(display=False, custom_mapping=_formulas()) as counter:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            result = run()
        forward = float(counter.get_total_flops())
        if result.requires_grad:
            torch.autograd.backward(result)
        both = float(counter.get_total_flops())
    for parameter in own:
        parameter.grad = None
    return Cost(forward, both, float(sum(sizes.values())))


@dataclass(frozen=True)
class Curve:
    """Cost as a quadratic function of length: exact for what grows with the number of frames and with its square."""

    coefficients: tuple[Cost, Cost, Cost]
    """Of 1, length, and length squared."""

    def __call__(self, lengths: Sequence[float]) -> Cost:
        """Of several utterances together.

        :param lengths: of each, seconds.
        """
        moments = (len(lengths), sum(lengths), sum(length * length for length in lengths))
        constant, linear, square = (cost * moment for cost, moment in zip(self.coefficients, moments))
        total = constant + linear + square
        return Cost(*(max(0.0, value) for value in (total.forward, total.both, total.saved)))


def curve(cost: Callable[[float], Cost]) -> Curve:
    """The quadratic through costs measured at 1, 2 and 3 seconds."""
    first, second, third = cost(1.0), cost(2.0), cost(3.0)
    square = (first + third + second * -2) * 0.5
    linear = second + first * -1 + square * -3
    return Curve((first + linear * -1 + square * -1, linear, square))


def _formulas() -> dict[Any, Callable[..., int]]:
    """Operations that torch's counter does not know, and one that it overrates; formulas take shapes for tensors."""
    given: dict[str, Callable[..., int]] = {
        "convolution_backward": _convolution_backward,
        "_scaled_dot_product_flash_attention_for_cpu": _attention,
        "_scaled_dot_product_flash_attention_for_cpu_backward": _attention_backward,
        "mkldnn_rnn_layer": _layer,
        "mkldnn_rnn_layer_backward": _layer_backward,
        "_cudnn_rnn": _cudnn,
        "_cudnn_rnn_backward": _cudnn_backward,
    }
    return {getattr(torch.ops.aten, name): rule for name, rule in given.items() if hasattr(torch.ops.aten, name)}


def _convolution_backward(gradient: Any, inputs: Any, weight: Any, *others: Any, **_: Any) -> int:
    """torch's own formula forgets the groups. `others` ends in transposed, output padding, groups, what is wanted."""
    transposed, wanted = others[-4], others[-1]
    places = inputs if transposed else gradient
    forward = 2 * places[0] * math.prod(places[2:]) * math.prod(weight)
    return int(forward * (wanted[0] + wanted[1]))


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


def _attention_backward(_: Any, query: Any, key: Any, value: Any, *__: Any, **___: Any) -> int:
    return 2 * _attention(query, key, value)


def _layer(inputs: Any, input_weight: Any, state_weight: Any, *_: Any, **__: Any) -> int:
    """One layer in one direction."""
    return int(2 * math.prod(inputs[:-1]) * (math.prod(input_weight) + math.prod(state_weight)))


def _layer_backward(inputs: Any, input_weight: Any, state_weight: Any, *_: Any, **__: Any) -> int:
    return 2 * _layer(inputs, input_weight, state_weight)


def _cudnn(inputs: Any, weights: Any, *_: Any, **__: Any) -> int:
    """All layers and directions; what is packed has no time axis of its own."""
    return int(2 * math.prod(inputs[:-1]) * sum(math.prod(weight) for weight in weights if len(weight) == 2))


def _cudnn_backward(inputs: Any, weights: Any, *_: Any, **__: Any) -> int:
    return 2 * _cudnn(inputs, weights)
