"""Training recipes, as data."""

from __future__ import annotations

from dataclasses import dataclass

from ig_worker.errors import UsageError


@dataclass(frozen=True)
class Recipe:
    """How a classifier is built and trained."""

    name: str
    blocks: int
    hidden: int
    heads: int
    intermediate: int
    positions: int  # longest input, in tokens
    vocabulary: int  # most word pieces that are learnt
    max_length: int  # of training texts, in tokens
    batch_rows: int
    learning_rate: float  # highest, after the warm-up
    warmup_share: float  # of all steps
    least_steps: int  # short data sets are repeated until there are as many


RECIPES = {
    # A DistilBERT small enough to be trained from nothing on two cores in minutes.
    "tiny": Recipe("tiny", 2, 128, 4, 512, 512, 8000, 256, 32, 5e-4, 0.1, 375),
}


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in RECIPES:
        raise UsageError(f"--recipe is {name!r}", expected=f"one of {', '.join(RECIPES)}")
    return RECIPES[name]
