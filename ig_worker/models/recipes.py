"""Training recipes, as data, and what a user may change in them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ig_worker.errors import UsageError
from ig_worker.models.layers import FlattenHead

# What a user may change besides the encoder: type and meaning.
CHANGES: dict[str, tuple[type, str]] = {
    "epochs": (int, "passes over the training rows"),
    "steps": (int, "batches to learn from, instead of --epochs"),
    "batch_rows": (int, "texts in a batch"),
    "learning_rate": (float, "highest rate, after the warm-up"),
    "warmup_steps": (int, "steps in which the learning rate rises"),
    "max_length": (int, "longest text, in tokens; what is behind is cut off"),
    "blocks": (int, "transformer blocks, with --from-scratch"),
    "hidden": (int, "width, with --from-scratch"),
    "heads": (int, "attention heads, with --from-scratch"),
    "intermediate": (int, "width of the feed-forward layers, with --from-scratch"),
    "vocabulary": (int, "most word pieces that are learnt, with --from-scratch"),
}
SIZES = ("blocks", "hidden", "heads", "intermediate", "vocabulary")  # what a pretrained encoder brings along


@dataclass(frozen=True)
class Recipe:
    """How a classifier is built and trained."""

    name: str
    architecture: str  # a key of `encoders.ENCODERS`; empty: that of the pretrained encoder, which has to be given
    base: str | None  # hub name or directory of a pretrained encoder; None: random weights of the sizes below
    blocks: int
    hidden: int
    heads: int
    intermediate: int
    positions: int  # longest input, in tokens
    vocabulary: int  # most word pieces that are learnt
    max_length: int  # of training texts, in tokens
    batch_rows: int
    learning_rate: float  # highest, after the warm-up
    warmup_share: float = 0.0  # of all steps
    warmup_steps: int | None = None  # beats `warmup_share`
    decay: bool = True  # linearly to 0, or a constant rate
    epsilon: float = 1e-8  # Adam's
    clip_norm: float | None = None  # of each gradient
    steps: int | None = None
    epochs: int | None = None  # beats `steps`
    least_steps: int = 0  # without `steps` and `epochs`: as many whole epochs as make so many steps
    text_style: str = "bert"
    head: FlattenHead | None = None  # on a frozen encoder; None: transformers' own head, trained end to end
    exact_resume: bool = True  # dropout draws from generators whose state a checkpoint can keep
    data: Mapping[str, str] = field(default_factory=dict)  # settings of the data set, unless the user gives others


_IMDB_2022 = {"imdb_decode": "2022"}
_IMDB_2021 = {"imdb_decode": "2021"}

RECIPES = {
    recipe.name: recipe
    for recipe in (
        # A DistilBERT small enough to be trained from nothing on two cores in minutes.
        Recipe(
            "tiny", "distilbert", None, 2, 128, 4, 512, 512, 8000, 256, 32, 5e-4,
            warmup_share=0.1, epsilon=1e-7, clip_norm=1.0, least_steps=375, exact_resume=False,
        ),
        # alibi's 2022 tutorial. IMDB's 25,000 reviews in batches of 16 are 1,563 steps.
        Recipe(
            "distilbert", "distilbert", "distilbert-base-uncased", 6, 768, 12, 3072, 512, 30_522, 256, 16, 5e-5,
            steps=1563, data=_IMDB_2022,
        ),
        Recipe(
            "bert", "bert", "bert-base-uncased", 12, 768, 12, 3072, 512, 30_522, 256, 8, 5e-5,
            steps=15_468, warmup_share=1546 / 15_468, data=_IMDB_2022,
        ),
        # Any pretrained encoder, with what its authors recommend on the whole (RoBERTa, ELECTRA, DeBERTa: 1e-5 to 5e-5,
        # a warm-up of 6 to 10%, a few epochs).
        Recipe(
            "encoder", "", None, 0, 0, 1, 0, 100_000, 0, 256, 16, 2e-5, warmup_share=0.06, epochs=2, clip_norm=1.0,
        ),
        # alibi's 2021 tutorial.
        Recipe(
            "bert-head", "bert", "bert-base-uncased", 12, 768, 12, 3072, 512, 30_522, 100, 128, 1e-4,
            decay=False, epochs=3, text_style="plain", head=FlattenHead(100, 128, 0.1), data=_IMDB_2021,
        ),
    )
}  # fmt: skip


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in RECIPES:
        raise UsageError(f"--recipe is {name!r}", expected=f"one of {', '.join(RECIPES)}")
    return RECIPES[name]


def refuse_pairs(recipe: Recipe) -> None:
    """Raise UsageError where rows of two texts are to be learnt by a recipe that knows of one."""
    if recipe.text_style == "plain":
        able = [one.name for one in RECIPES.values() if one.text_style != "plain"]
        raise UsageError(
            f"--recipe {recipe.name} reads texts in style plain, which puts nothing between two texts",
            expected=f"one of {', '.join(able)} for rows of two texts",
            remedy="give one of them, or leave --pair-column out",
        )


def revise(
    recipe: Recipe,
    *,
    base: str | None = None,
    from_scratch: bool = False,
    **changes: int | float | None,
) -> Recipe:
    """`recipe` with what a user wants otherwise.

    Args:
        recipe: where the other values come from.
        base: another pretrained encoder.
        from_scratch: random weights instead of a pretrained encoder; only then can sizes be changed.
        changes: other fields of the recipe; None leaves the recipe's value.

    Raises:
        UsageError: values that cannot be right, or that contradict each other.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    if base and from_scratch:
        raise UsageError(f"--base is {base} and --from-scratch is set", expected="one of them")
    base = None if from_scratch else base or recipe.base
    if not recipe.architecture and base is None:
        raise UsageError(
            f"--recipe {recipe.name} trains a pretrained encoder, and there is "
            + ("--from-scratch" if from_scratch else "none"),
            expected="--base with a directory or a hub name",
        )
    sizes = [name for name in SIZES if name in given]
    if base and sizes:
        flag = f"--{sizes[0]}"
        raise UsageError(
            f"{flag} is {given[sizes[0]]}, but the sizes are those of the pretrained encoder {base}",
            expected=f"{flag} with --from-scratch",
        )
    if "steps" in given and "epochs" in given:
        raise UsageError(f"--steps is {given['steps']} and --epochs is {given['epochs']}", expected="one of them")
    if "steps" in given:
        given["epochs"] = None  # type: ignore[assignment]
    revised = replace(recipe, base=base, **given)  # type: ignore[arg-type]
    _check(revised, given)
    return replace(revised, head=recipe.head and replace(recipe.head, length=revised.max_length))


def _check(recipe: Recipe, given: Mapping[str, int | float | None]) -> None:
    for name, value in given.items():
        least = 0 if name == "warmup_steps" else 1
        if name != "learning_rate" and value is not None and value < least:
            raise UsageError(f"--{name.replace('_', '-')} is {value}", expected=f"at least {least}")
    if not 0 < recipe.learning_rate < math.inf:
        raise UsageError(f"--learning-rate is {recipe.learning_rate}", expected="a number above 0, such as 5e-5")
    if recipe.hidden % recipe.heads:
        raise UsageError(f"--hidden is {recipe.hidden}", expected=f"a multiple of --heads, {recipe.heads}")
    if not 3 <= recipe.max_length <= recipe.positions:
        raise UsageError(f"--max-length is {recipe.max_length}", expected=f"3 to {recipe.positions} tokens")


def count_steps(recipe: Recipe, rows: int) -> int:
    """Steps of a training on so many rows.

    Raises:
        UsageError: the warm-up does not fit into them.
    """
    per_epoch = math.ceil(rows / recipe.batch_rows)
    if recipe.epochs is not None:
        steps = recipe.epochs * per_epoch
    elif recipe.steps is not None:
        steps = recipe.steps
    else:
        steps = max(1, math.ceil(recipe.least_steps / per_epoch)) * per_epoch
    if (recipe.warmup_steps or 0) >= steps:
        raise UsageError(f"--warmup-steps is {recipe.warmup_steps}", expected=f"less than the {steps} steps in all")
    return steps


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Learning rate of step `step` (from 0): linear warm-up, then polynomial decay of power 1 to 0."""
    warmup = recipe.warmup_steps
    if warmup is None:
        warmup = max(1, round(steps * recipe.warmup_share)) if recipe.warmup_share else 0
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    if not recipe.decay:
        return recipe.learning_rate
    return recipe.learning_rate * (steps - step) / max(1, steps - warmup)
