"""Trains a classifier by a recipe."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ig_worker.models.finetune import SEED, finetune
from ig_worker.models.recipes import RECIPES, find_recipe
from ig_worker.run.config import DataConfig
from ig_worker.run.progress import meter
from jobs import _cli


def main(argv: Sequence[str] | None = None) -> int:
    made = _cli.parser("jobs.finetune", __doc__)
    made.add_argument("--recipe", required=True, choices=sorted(RECIPES), help="what to train")
    made.add_argument("--out", required=True, metavar="MODEL", help="directory to write; must not exist")
    made.add_argument("--tokenizer", metavar="DIR", help="use this tokenizer (default: learn a vocabulary)")
    made.add_argument("--epochs", type=int, help="passes over the training rows (default: as the recipe says)")
    made.add_argument("--seed", type=int, default=SEED, help=f"of everything random (default: {SEED})")
    _cli.add_settings(made, DataConfig)
    return _cli.run(_finetune, made, argv)


def _finetune(arguments: argparse.Namespace) -> int:
    config = _cli.read_settings(arguments, DataConfig)
    with meter("training, steps", None) as shown:
        metrics = finetune(
            find_recipe(arguments.recipe),
            config.spec(),
            arguments.out,
            tokenizer=arguments.tokenizer,
            epochs=arguments.epochs,
            seed=arguments.seed,
            on_step=lambda step, steps, loss: shown.update(step, f"loss {loss:.3f}", steps),
        )
    print(
        f"test accuracy {metrics.test_accuracy:.4f} on {metrics.test_rows} rows "
        f"after {metrics.epochs} epochs over {metrics.train_rows} rows in {metrics.seconds:.0f} s"
    )
    print(f"model: {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
