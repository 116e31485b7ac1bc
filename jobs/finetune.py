"""Trains a classifier by a recipe; run it again to resume.

The train split is learnt from and the test split judged on; of a file without splits, one row in ten is judged on.

Examples:
    python -m jobs.finetune --recipe tiny --dataset demo --out my-model
    python -m jobs.finetune --recipe distilbert --dataset imdb --out imdb-model
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import field, fields, make_dataclass

from ig_worker.models.checkpoint import OnStep
from ig_worker.models.finetune import SEED, finetune
from ig_worker.models.recipes import CHANGES, RECIPES, SIZES, Recipe, find_recipe, revise
from ig_worker.run.config import DataConfig
from ig_worker.run.progress import Meter, meter
from jobs import _cli, _settings


def main(argv: Sequence[str] | None = None) -> int:
    made = _cli.parser("jobs.finetune", __doc__)
    made.flag("recipe", "what to train, and how", "everyday", required=True, choices=list(RECIPES))
    made.flag("out", "directory to write; must not exist", "everyday", required=True, metavar="MODEL")
    recipes = "the recipe's"
    made.flag("base", "pretrained encoder: a directory or a hub name", "model", shown=recipes, metavar="MODEL")
    made.flag(
        "from_scratch", "random weights instead of a pretrained encoder", "model", shown="no", action="store_true"
    )
    made.flag(
        "tokenizer", "a tokenizer's directory", "model", shown="the encoder's; from scratch: learn one", metavar="DIR"
    )
    made.flag("seed", "of everything random", "method", type=int, default=SEED)
    for name, (kind, text) in CHANGES.items():
        made.flag(name, text, "model" if name in SIZES else "method", shown=recipes, type=kind)
    own = {name: recipes for recipe in RECIPES.values() for name in recipe.data}
    left_out = ("split", "keep_columns", "chunk_rows", "max_text_bytes")
    _settings.add_settings(made, DataConfig, left_out, shown=own)
    return _cli.run(_finetune, made, argv)


def _finetune(arguments: argparse.Namespace) -> int:
    names = (*CHANGES, "base", "from_scratch")
    recipe = revise(find_recipe(arguments.recipe), **{name: getattr(arguments, name) for name in names})
    config = _settings.read_settings(arguments, _data_config(recipe))
    with _meters() as on_step:
        metrics = finetune(
            recipe, config.spec(), arguments.out, tokenizer=arguments.tokenizer, seed=arguments.seed, on_step=on_step
        )
    print(
        f"test accuracy {metrics.test_accuracy:.4f} on {metrics.test_rows} rows "
        f"after {metrics.epochs} epochs over {metrics.train_rows} rows in {metrics.seconds:.0f} s"
    )
    print(f"model: {arguments.out}")
    return 0


def _data_config(recipe: Recipe) -> type[DataConfig]:
    """DataConfig with the recipe's defaults."""
    changed = [
        (setting.name, setting.type, field(default=recipe.data[setting.name], metadata=setting.metadata))
        for setting in fields(DataConfig)
        if setting.name in recipe.data
    ]
    return make_dataclass("DataConfig", changed, bases=(DataConfig,), frozen=True)


@contextmanager
def _meters() -> Iterator[OnStep]:
    """A meter for each stage, one after the other."""
    with ExitStack() as stack:
        shown: dict[str, Meter] = {}

        def on_step(stage: str, done: int, total: int, note: str) -> None:
            if stage not in shown:
                stack.close()
                shown[stage] = stack.enter_context(meter(stage, total))
            shown[stage].update(done, note, total)

        yield on_step


if __name__ == "__main__":
    sys.exit(main())
