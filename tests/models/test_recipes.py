"""Recipes: the tutorials' schedules, what a user may change in them, and what they need of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from ig_worker.data.sources import DataSpec
from ig_worker.errors import StorageError, UsageError
from ig_worker.models import finetune as training
from ig_worker.models.layers import NetworkShape
from ig_worker.models.recipes import RECIPES, count_steps, find_recipe, learning_rate, revise
from ig_worker.models.resources import GIB, Needs, check_disk, check_memory, training_needs
from jobs import finetune as job
from tests.models.reviews import write_reviews

BASE = NetworkShape("bert", 768, 12, 12, 30_522, 512, "gelu", 1e-12, 2, ("0", "1"), intermediate=3072)


def test_the_tiny_recipe_warms_up_and_falls_to_nothing() -> None:
    rates = [learning_rate(RECIPES["tiny"], step, 200) for step in range(200)]
    assert rates[0] == pytest.approx(5e-4 / 20)
    assert max(rates) == rates[20] == pytest.approx(5e-4)
    assert 0 < rates[-1] < 5e-6
    assert rates[20:] == sorted(rates[20:], reverse=True)


def test_distilbert_decays_as_in_the_tutorial() -> None:
    recipe = RECIPES["distilbert"]
    assert count_steps(recipe, 25_000) == 1563
    rates = [learning_rate(recipe, step, 1563) for step in range(1563)]
    assert rates == pytest.approx([5e-5 * (1 - step / 1563) for step in range(1563)])


def test_bert_warms_up_as_in_the_tutorial() -> None:
    recipe = RECIPES["bert"]
    assert count_steps(recipe, 25_000) == 15_468
    rates = [learning_rate(recipe, step, 15_468) for step in range(15_468)]
    assert max(rates) == rates[1545] == rates[1546] == pytest.approx(5e-5)
    assert rates[:1546] == pytest.approx([5e-5 * (step + 1) / 1546 for step in range(1546)])
    assert rates[1546 + 6961] == pytest.approx(5e-5 / 2)


def test_the_head_learns_at_a_constant_rate_for_three_epochs() -> None:
    recipe = RECIPES["bert-head"]
    assert count_steps(recipe, 25_000) == 3 * 196
    assert {learning_rate(recipe, step, 588) for step in range(588)} == {1e-4}


def test_changes_beat_the_recipe() -> None:
    recipe = revise(RECIPES["bert"], from_scratch=True, blocks=2, epochs=2, warmup_steps=0, learning_rate=1e-3)
    assert (recipe.base, recipe.blocks, recipe.hidden) == (None, 2, 768)
    assert count_steps(recipe, 800) == 200
    assert learning_rate(recipe, 0, 200) == 1e-3
    assert count_steps(revise(RECIPES["bert-head"], steps=5), 25_000) == 5
    head = revise(RECIPES["bert-head"], max_length=64).head
    assert head is not None
    assert head.length == 64, "the head reads as many positions as texts have"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blocks": 2}, "--blocks is 2, but the sizes are those of the pretrained encoder bert-base-uncased"),
        ({"base": "x", "from_scratch": True}, "--base is x and --from-scratch is set; expected one of them"),
        ({"steps": 3, "epochs": 1}, "--steps is 3 and --epochs is 1; expected one of them"),
        ({"batch_rows": 0}, "--batch-rows is 0; expected at least 1"),
        ({"learning_rate": float("nan")}, "--learning-rate is nan; expected a number above 0"),
        ({"max_length": 513}, "--max-length is 513; expected 3 to 512 tokens"),
        ({"from_scratch": True, "hidden": 100}, "--hidden is 100; expected a multiple of --heads, 12"),
    ],
)
def test_changes_that_cannot_be_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        revise(RECIPES["bert"], **changes)
    assert message in str(caught.value)


def test_a_warm_up_longer_than_the_training_is_refused() -> None:
    with pytest.raises(UsageError, match="--warmup-steps is 50; expected less than the 50 steps in all"):
        count_steps(revise(RECIPES["distilbert"], steps=50, warmup_steps=50), 100)


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(UsageError, match="--recipe is 'huge'; expected one of tiny"):
        find_recipe("huge")


@pytest.mark.parametrize(
    ("arguments", "decode"),
    [
        (["--recipe", "bert-head"], "2021"),
        (["--recipe", "distilbert"], "2022"),
        (["--recipe", "tiny"], "full"),
        (["--recipe", "bert-head", "--imdb-decode", "full"], "full"),
    ],
)
def test_a_recipe_brings_the_decoding_of_its_tutorial(
    arguments: list[str], decode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[DataSpec] = []

    def stop(recipe: object, spec: DataSpec, *_: object, **__: object) -> None:
        seen.append(spec)
        raise UsageError("enough")

    monkeypatch.setattr(job, "finetune", stop)
    assert job.main([*arguments, "--dataset", "imdb", "--out", "x"]) == 1
    assert seen[0].imdb_decode == decode


def test_what_training_needs_is_about_right() -> None:
    whole = training_needs(BASE, RECIPES["bert"], 25_000)
    assert 3.0 < whole.memory / GIB < 6.0  # 110 million weights with Adam's moments: 1.6 GiB; the rest is activations
    frozen = training_needs(BASE, RECIPES["bert-head"], 25_000)
    assert 25_000 * 100 * 768 * 4 < frozen.disk < 1.15 * 25_000 * 100 * 768 * 4
    assert frozen.memory / GIB < 2.5, "features are on disk"


def test_too_little_memory_is_one_line() -> None:
    with pytest.raises(UsageError) as caught:
        check_memory(Needs(6 * GIB, 0), 2 * GIB, RECIPES["bert"])
    assert str(caught.value) == (
        "training bert with --batch-rows 8 and --max-length 256 needs about 6.0 GiB of memory, and 2.0 GiB are "
        "available; expected that much free memory; give a smaller --batch-rows or --max-length, or a --base with "
        "fewer blocks"
    )
    check_memory(Needs(6 * GIB, 0), None, RECIPES["bert"])  # a system that does not say


def test_too_little_disk_is_one_line_and_counts_what_a_killed_training_left() -> None:
    folder = Path("place/.m.training")
    with pytest.raises(StorageError, match=r"needs about 8.0 GiB of disk .* in place, and 7.0 GiB are free; expected"):
        check_disk(Needs(0, 8 * GIB), 6 * GIB, GIB, folder)
    check_disk(Needs(0, 8 * GIB), 2 * GIB, 6 * GIB, folder)


@pytest.mark.parametrize(("question", "answer"), [("available_memory", 10**8), ("free_disk", 10**6)])
def test_a_machine_too_small_is_told_before_anything_is_written(
    question: str, answer: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training, question, lambda *_: answer)
    write_reviews(tmp_path / "reviews.jsonl")
    data, out = str(tmp_path / "reviews.jsonl"), str(tmp_path / "model")
    assert job.main(["--recipe", "bert", "--from-scratch", "--dataset", data, "--out", out]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["reviews.jsonl"]
