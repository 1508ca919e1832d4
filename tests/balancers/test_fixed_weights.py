"""Weights of losses, for joint runs and pretrainings alike."""

from typing import Any

import pytest

from s3prl_plugins.balancers import build_balancer
from s3prl_plugins.errors import ConfigError

KNOWN = ("sample", "frame", "phoneme")


def test_weights_are_1_where_none_is_given() -> None:
    balancer = build_balancer({"weights": {"frame": 0.5, "phoneme": 0}}, ("sample", "frame"), KNOWN, "scale")
    assert balancer.weights(1) == balancer.weights(9) == {"sample": 1.0, "frame": 0.5}
    assert balancer.state_dict() == {}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "fixd"}, "unknown config.balancer.name 'fixd'; did you mean 'fixed'"),
        ({"weights": {"frames": 1}}, "unknown scale config.balancer.weights.frames; did you mean 'frame'"),
        ({"weights": {"frame": -1}}, "config.balancer.weights.frame must not be negative, found -1.0"),
        (
            {"weights": {"frame": float("nan")}},
            "config.balancer.weights.frame must be a number of at most 1e\\+15, found nan",
        ),
        ({"wieghts": {}}, "unknown key config.balancer.wieghts; did you mean 'weights'"),
    ],
)
def test_settings_that_do_not_fit_are_named(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_balancer(config, KNOWN, KNOWN, "scale")
