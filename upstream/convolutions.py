"""The text by which fairseq's and s3prl's configurations say what convolutions an encoder has."""

from __future__ import annotations

import ast
from typing import Any

__all__ = ["check_convolutions"]

_MOST_LAYERS = 1000


def check_convolutions(text: Any) -> list[tuple[int, ...]]:
    """`[(512,10,5)] + [(512,3,2)] * 4` as the list it stands for: lists and tuples of whole numbers from 1 to 9,999,
    sums and multiples of them. s3prl evaluates it as Python, whatever it says.

    :raises ValueError: it says something else, or stands for more than 1000 layers.
    """
    try:
        layers = _value(ast.parse(text, mode="eval").body)
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError):
        layers = None
    if not isinstance(layers, list) or not all(isinstance(layer, tuple) for layer in layers):
        raise ValueError(f"conv_feature_layers must be a plain list of tuples, found {str(text)[:200]!r}")
    return layers


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant) and type(node.value) is int and 0 < node.value < 10_000:
        return node.value
    if isinstance(node, ast.List | ast.Tuple):
        parts = [_value(part) for part in node.elts]
        return parts if isinstance(node, ast.List) else tuple(parts)
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Add) and isinstance(left, list) and isinstance(right, list):
            total = len(left) + len(right)
            if total <= _MOST_LAYERS:
                return left + right
        if isinstance(node.op, ast.Mult):
            layers, times = (left, right) if isinstance(left, list) else (right, left)
            if isinstance(layers, list) and isinstance(times, int) and len(layers) * times <= _MOST_LAYERS:
                return layers * times
    raise ValueError("not a list of layers")
