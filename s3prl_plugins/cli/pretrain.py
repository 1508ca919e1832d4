"""`s3prl-plugins pretrain NAME`: train an encoder from scratch on unlabelled speech."""

from __future__ import annotations

import argparse
from pathlib import Path

from s3prl_plugins.cli.numbers import whole
from s3prl_plugins.errors import ConfigError, nearest

_EXAMPLES = """examples:
  s3prl-plugins corpus speech data/speech
  s3prl-plugins pretrain hubert -c hubert_tiny -p result/hubert_tiny
  s3prl-plugins pretrain hubert -c hubert_base -p result/hubert_base --speech /data/LibriSpeech --device cuda
  python -m s3prl.run_downstream -m train -u hubert_local -k result/hubert_tiny/hubert.pt -d multitask ...
  s3prl-plugins pretrain pase -c pase_tiny -p result/pase_tiny
  s3prl-plugins pretrain pase -c pase_tiny -p result/pase_no_spc -o config.workers.spc=0
  python -m s3prl.run_downstream -m train -u pase_multitask_local -k result/pase_tiny/pase.pt -d multitask ...
  s3prl-plugins pretrain learn2diss -c learn2diss_tiny -p result/learn2diss_tiny
  s3prl-plugins pretrain learn2diss -c learn2diss_tiny -p result/no_information -o config.joint.beta=0
  python -m s3prl.run_downstream -m train -u learn2diss_local -k result/learn2diss_tiny/learn2diss.pt -s frame ...
  s3prl-plugins pretrain mgf -c mgf_tiny -p result/mgf_tiny
  s3prl-plugins pretrain mgf -c mgf_tiny -p result/swapped -o config.scales.frame.kind=discriminative

The same command on the same folder continues a run that was cut off. CPU threads: OMP_NUM_THREADS."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from s3prl_plugins.plugin import PRETRAININGS

    parser.epilog = _EXAMPLES
    parser.add_argument("name", metavar="NAME", help=f"what to pretrain: {', '.join(PRETRAININGS)}")
    parser.add_argument("-c", "--config", required=True, help="YAML file, or the name of one in configs/pretrain")
    parser.add_argument("-p", "--expdir", type=Path, required=True, help="folder of the run")
    parser.add_argument("--speech", nargs="+", metavar="DIR", help="folders of .wav or .flac files, for speech.folders")
    parser.add_argument("-o", "--override", default="", help="config.KEY=VALUE, several joined by ',,'")
    parser.add_argument("--seed", type=whole(0), default=0, help="of weights, order and masks (default: 0)")
    parser.add_argument("--device", default="cuda", help="falls back to cpu where no GPU is visible (default: cuda)")


def run(args: argparse.Namespace) -> int:
    from s3prl_plugins.config import merge, override
    from s3prl_plugins.multitask.upstream import choose_device
    from s3prl_plugins.plugin import PRETRAININGS, resolve
    from s3prl_plugins.pretrain.config import find_pretrain_config

    if args.name not in PRETRAININGS:
        raise ConfigError(f"unknown pretraining {args.name!r}; {nearest(args.name, PRETRAININGS)}")
    config = find_pretrain_config(args.config)
    if args.speech:
        config = merge(config, {"speech": {"folders": args.speech}})
    config = override(args.override, config)
    checkpoint = resolve(PRETRAININGS[args.name])(config, args.expdir, args.seed, choose_device(args.device))
    print(f"checkpoint: {checkpoint}")
    return 0
