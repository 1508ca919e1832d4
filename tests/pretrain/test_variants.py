"""Files of benchmarks/variants, and the table of their scores."""

import importlib
from pathlib import Path

import pytest

from benchmarks import variants
from benchmarks.variants import Experiment, Score, cell, table
from s3prl_plugins.config import build, load_yaml, merge
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.plugin import PRETRAININGS, UPSTREAMS
from s3prl_plugins.pretrain.config import find_pretrain_config
from s3prl_plugins.superb.cards import CARDS

FILES = sorted((Path(variants.__file__).parent / "variants").glob("*.yaml"))
CONFIGS = {
    "pase": "s3prl_plugins.upstream.pase.pretraining:PasePretraining",
    "learn2diss": "s3prl_plugins.upstream.learn2diss.config:Learn2DissPretraining",
    "mgf": "s3prl_plugins.upstream.mgf.pretraining:MgfPretraining",
}
"""Pretraining -> class of its configuration."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_variant_is_a_configuration_that_pretrains(path: Path) -> None:
    experiment = build(Experiment, load_yaml(path))
    assert experiment.pretraining in PRETRAININGS
    module, _, name = CONFIGS[experiment.pretraining].partition(":")
    base = merge(find_pretrain_config(experiment.config), experiment.override)
    built = [
        build(getattr(importlib.import_module(module), name), merge(base, change))
        for change in experiment.variants.values()
    ]
    assert all(one not in built[:place] for place, one in enumerate(built))
    for probe in experiment.probes.values():
        assert probe.upstream in UPSTREAMS and set(probe.tasks) <= set(CARDS)


def test_the_table_sets_variants_beside_the_first_over_the_seeds_both_have() -> None:
    experiment = build(
        Experiment,
        {
            "pretraining": "pase", "config": "pase_tiny", "probes": {"probe": {"upstream": "u", "tasks": ["pr", "ks"]}},
            "variants": {"all": {}, "less": {"chunk": 2.0}}, "references": {"fbank": {"upstream": "fbank", "tasks": ["ks"]}},
        },
    )  # fmt: skip
    found = [Score("fbank", "probe", "ks", "acc", 1, 10.0)]
    found += [Score("all", "probe", "ks", "acc", seed, 20.0 + seed) for seed in (1, 2)]
    found += [Score("less", "probe", "ks", "acc", 1, 24.0), Score("less", "probe", "pr", "per", 1, 5.0)]
    rows = table(experiment, found)
    assert [row[:2] for row in rows] == [["variant", "view"], ["fbank", "probe"], ["all", "probe"], ["less", "probe"]]
    assert [row[2] for row in rows[1:]] == ["10.00 (-11.00)", "21.50 ± 0.71", "24.00 (+3.00)"]
    assert [row[3] for row in rows[1:]] == ["", "", "5.00"]
    assert cell({}, {1: 2.0}) == ""


def test_references_and_variants_have_names_of_their_own() -> None:
    probe = {"upstream": "fbank", "tasks": ["ks"]}
    with pytest.raises(ConfigError, match="none of them among references"):
        build(
            Experiment,
            {
                "pretraining": "pase",
                "config": "pase_tiny",
                "probes": {},
                "variants": {"a": {}},
                "references": {"a": probe},
            },
        )
