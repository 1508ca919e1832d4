"""`s3prl-plugins qbe`: query by example, SUPERB's tenth task, of an untouched encoder or that of a joint run."""

from __future__ import annotations

import argparse
from pathlib import Path

from s3prl_plugins.cli.numbers import whole
from s3prl_plugins.cli.upstream_options import add_upstream
from s3prl_plugins.errors import ConfigError

__all__ = ["add_arguments", "run"]

_EXAMPLES = """examples:
  s3prl-plugins qbe -u fbank -p result/fbank_qbe
  s3prl-plugins qbe -u hubert_local -k tiny.pt -p sweep/ssl/qbe --corpus-root data/mini-superb
  s3prl-plugins qbe --run sweep/all_task                   the finetuned encoder of a joint run; adds to its results.json
  s3prl-plugins qbe -u hubert -c qbe_paper --corpus-root /data/superb -p result/hubert_qbe
  s3prl-plugins qbe -u hubert -p result/cosine -o "config.search.distance=cosine" --layers 6 -1

Nothing is trained: subsequence DTW of spoken queries in documents, every layer on dev, the best one on test. The score is
MTWV, at most 1. Writes results.json and qbe/benchmark.stdlist.xml, the leaderboard's file. Killed, it goes on where it was."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    add_upstream(parser, "name in s3prl's hub")
    parser.add_argument("-p", "--expdir", type=Path, help="folder of the scores")
    parser.add_argument(
        "--run", dest="run_folder", type=Path, metavar="RUN", help="folder of a joint run; takes the place of -u and -p"
    )
    parser.add_argument("-c", "--config", help="YAML file, qbe_mini or qbe_paper (default: qbe_mini, or as the run)")
    parser.add_argument("--corpus-root", metavar="DIR", help="takes the place of config.corpus_root")
    parser.add_argument("-o", "--override", default="", help="config.KEY=VALUE, several joined by ',,'")
    parser.add_argument("--layers", nargs="+", type=int, default=(), metavar="N", help="layers to try (default: all)")
    parser.add_argument("--jobs", type=whole(1), default=1, metavar="N", help="threads that search (default: 1)")
    parser.add_argument(
        "--seed", type=whole(0), default=1337, help="of an upstream without a checkpoint (default: 1337)"
    )
    parser.add_argument("--device", default="cuda", help="falls back to cpu where no GPU is visible (default: cuda)")


def run(args: argparse.Namespace) -> int:
    from s3prl_plugins.config import override
    from s3prl_plugins.multitask import checkpoint
    from s3prl_plugins.multitask.folder import undone_on_error
    from s3prl_plugins.multitask.stock import stock_args
    from s3prl_plugins.multitask.upstream import choose_device
    from s3prl_plugins.qbe.config import qbe_config, qbe_mapping
    from s3prl_plugins.qbe.encoder import hub_encoder, run_encoder
    from s3prl_plugins.qbe.evaluation import evaluate

    if bool(args.run_folder) == bool(args.upstream or args.expdir) or bool(args.upstream) != bool(args.expdir):
        raise ConfigError("either -u UPSTREAM -p DIR or --run RUN must be given")
    config_of_run = checkpoint.newest_whole(args.run_folder)[0].config if args.run_folder else {}
    mapping = qbe_mapping(args.config or f"qbe_{config_of_run.get('size', 'mini')}")
    if args.corpus_root or "corpus_root" in config_of_run:
        mapping["corpus_root"] = args.corpus_root or config_of_run["corpus_root"]
    config = qbe_config(override(args.override, mapping))
    device = choose_device(args.device)
    folder: Path = args.run_folder or args.expdir
    with undone_on_error(folder):
        if args.run_folder:
            encoder = run_encoder(folder, args.upstream_ckpt, device)
        else:
            given = stock_args(
                expdir=str(folder), upstream=args.upstream, upstream_ckpt=args.upstream_ckpt, seed=args.seed,
                upstream_model_config=args.upstream_model_config,
                upstream_feature_selection=args.upstream_feature_selection,
            )  # fmt: skip
            encoder = hub_encoder(given, config.padding, config.size, device)
        found = evaluate(encoder, config, folder, args.layers, args.jobs)
    for layer, score in found.layers.items():
        print(
            f"layer {layer:2}: dev MTWV {score:.4f}" + (f", test MTWV {found.test:.4f}" if layer == found.best else "")
        )
    print(f"scores and prediction file: {folder}")
    return 0
