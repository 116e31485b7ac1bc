"""What a run says before it starts: pure lines, and the real thing on tiny networks."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from ig_worker.data.sources import DataSpec, open_documents
from ig_worker.errors import UsageError
from ig_worker.models.files import find_model
from ig_worker.models.layers import NetworkShape
from ig_worker.run.config import ExplainConfig
from ig_worker.run.steps.explain import check_input
from ig_worker.run.steps.preview import Preview, Trial, duration, evaluations, operations
from ig_worker.run.steps.preview_trial import sample, spread
from jobs import check
from tests.run.in_process import Shared, explain_here

BASE = NetworkShape("distilbert", 768, 6, 12, 30522, 512, "gelu", 1e-12, 2, ("negative", "positive"), intermediate=3072)
QUICK = ExplainConfig(max_length=64, method="gausslegendre", n_steps=2, actors="1", gpus_per_actor=0.0)
LENGTHS = np.array([5, 10, 300], np.int64)


def made(**changes: Any) -> Preview:
    """A preview of nothing in particular."""
    usual = Preview(
        config=ExplainConfig(dataset="reviews.csv", model="m", gpus_per_actor=0.0),
        shape=BASE,
        model="m",
        data="reviews.csv",
        rows=1000,
        labels="0 negative: 400, 1 positive: 600",
        first_tokens=(("[CLS]", "good", "[SEP]"),),
        around=(("[CLS]",), ("[SEP]",)),
        special=("[CLS]", "[SEP]", "[PAD]", "[UNK]"),
        baseline="[PAD]",
        lengths=LENGTHS,
        tokens=100,
        unknown=1,
    )
    return replace(usual, **changes)


def line(preview: Preview, name: str) -> str:
    """The text of the only line of that name."""
    (found,) = [text for text in preview.lines() if text.split()[0] == name]
    return found.removeprefix(name).strip()


def test_a_preview_says_what_was_understood() -> None:
    preview = made()
    assert line(preview, "data") == "reviews.csv, 1,000 rows"
    assert line(preview, "labels") == "0 negative: 400, 1 positive: 600"
    assert line(preview, "tokens") == "[CLS] good [SEP]"
    assert line(preview, "special") == "[CLS] text [SEP]; also [PAD] [UNK]"
    assert line(preview, "unknown") == "1 of the first 100 tokens (1.0%)"
    assert "DistilBERT of 6 blocks, width 768, 12 heads, 30,522 tokens, with a head on [CLS]" in line(preview, "model")
    assert line(preview, "classes") == "0 negative, 1 positive, by softmax"
    assert line(preview, "lengths").startswith("10 tokens in the median, 300 at most; 1 of 3 (33.3%) are cut at")
    assert line(preview, "target") == "the predicted class of each row"
    assert not preview.suspicious


@pytest.mark.parametrize(
    ("changes", "name", "said"),
    [
        ({"labels": ""}, "labels", "none"),
        ({"around": ((), ()), "special": ("[PAD]",)}, "special", "none around a text; also [PAD]"),
        ({"baseline": ""}, "method", "from zeros in place of all token numbers to the text"),
        ({"shape": replace(BASE, logits=1)}, "classes", "0 negative, 1 positive, by one sigmoid"),
        ({"lengths": np.zeros(0, np.int64), "tokens": 0, "unknown": 0}, "lengths", "no text"),
        ({"assumed": ("labels are classes by name",)}, "assumed", "labels are classes by name"),
    ],
)
def test_a_preview_says_what_differs(changes: dict[str, Any], name: str, said: str) -> None:
    assert line(made(**changes), name).endswith(said)


def test_a_preview_names_the_method_and_the_class_of_the_settings() -> None:
    config = ExplainConfig(
        dataset="x", model="m", method="riemann_trapezoid", n_steps=20, layer="block:2", target="1", gpus_per_actor=0.0
    )
    assert line(made(config=config), "method").startswith(
        "integrated gradients by riemann_trapezoid with 20 nodes, at the output of block 2, from [PAD]"
    )
    assert line(made(config=config), "target") == "class 1 positive, for every row"
    assert "1,000 rows, 21 evaluations each" in line(made(config=config), "cost")


def test_more_than_5_percent_of_unknown_tokens_are_suspicious() -> None:
    assert not made(unknown=5).suspicious
    (told,) = made(unknown=6, suspicion="the tokenizer lower-cases").suspicious
    assert told == "6.0% of the first 100 tokens are unknown to the tokenizer: the tokenizer lower-cases"
    assert "another language or another model" in made(unknown=6).suspicious[0]


def test_predictions_that_are_worse_than_guessing_are_suspicious() -> None:
    right, wrong = (made(trial=Trial(16, 16, right, {"negative": 16}, 1e-4)) for right in (4, 3))
    assert not right.suspicious
    assert "right in 3 of 16 labelled rows" in wrong.suspicious[0]
    assert not made(trial=Trial(16, 0, 0, {"negative": 16}, 1e-4)).suspicious
    assert line(wrong, "trial") == "predictions of 16 rows: negative: 16; 3 of 16 labels are as predicted"


def test_the_cost_is_measured_where_the_network_was_tried_and_else_guessed() -> None:
    config = ExplainConfig(
        dataset="x", model="m", method="gausslegendre", n_steps=9, max_length=100, gpus_per_actor=0.0
    )
    tried = made(config=config, trial=Trial(1, 0, 0, {}, seconds_a_token=0.001))
    # (5 + 10 + 100) / 3 tokens, 10 evaluations, 1,000 rows, a millisecond each
    assert line(tried, "cost").endswith(
        "10 evaluations each: about 6 minutes of one actor like this process (measured here)"
    )
    assert "a guess of" in line(made(config=config), "cost")
    assert "on a GPU" in line(made(config=replace(config, gpus_per_actor=1.0)), "cost")


def test_an_evaluation_of_distilbert_takes_twice_its_forward_pass() -> None:
    """85 million weights in its blocks: two operations each, for a token forward, and as many back."""
    weights = 6 * (4 * 768**2 + 2 * 768 * 3072)
    assert weights == 42_467_328
    one = operations(BASE, np.array([1], np.int64))
    assert one == pytest.approx(4 * weights, rel=1e-3)  # attention to one token is next to nothing
    assert operations(BASE, np.array([1, 3], np.int64)) == pytest.approx(2 * one, rel=1e-3)


def test_evaluations_of_a_row_are_the_rules_or_what_the_adaptive_method_may_spend() -> None:
    config = ExplainConfig(dataset="x", model="m")
    bert, distil = replace(BASE, architecture="bert"), replace(BASE, architecture="distilbert")
    assert evaluations(replace(config, method="gausslegendre", n_steps=50), bert) == 51
    assert evaluations(replace(config, max_evaluations=7), bert) == 7
    assert evaluations(config, distil) < evaluations(config, bert) <= config.max_evaluations


def test_several_targets_share_their_forward_passes_but_in_alibi() -> None:
    shape = replace(BASE, logits=28, names=tuple(f"label {i}" for i in range(28)))
    config = ExplainConfig(dataset="x", model="m", method="gausslegendre", n_steps=49)
    assert evaluations(replace(config, target="all"), shape) == pytest.approx(50 * 29 / 2)
    assert evaluations(replace(config, target="top:3"), shape) == 50 * 2
    assert evaluations(replace(config, target="0-1"), shape) == 50
    assert evaluations(replace(config, target="all", engine="alibi"), shape) == 50 * 28


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("all", "each of all 2 classes, 2 results a row"),
        ("top:1", "each of the 1 likeliest of 2 classes, 1 results a row"),
        ("1-0", "class 1 positive against class 0 negative, of each row"),
        ("predicted-second", "the predicted class against the second likeliest, of each row"),
    ],
)
def test_what_is_explained_is_said_in_words(target: str, told: str) -> None:
    config = replace(ExplainConfig(dataset="x", model="m"), target=target)
    assert line(made(config=config), "target").strip().endswith(told)


def test_long_texts_are_counted_by_their_windows() -> None:
    config = ExplainConfig(dataset="x", model="m", max_length=100, overflow="windows")
    cut, whole = made(config=replace(config, overflow="truncate")), made(config=config)
    lengths = np.array([50, 100, 101, 400], np.int64)
    cut, whole = replace(cut, lengths=lengths), replace(whole, lengths=lengths)
    assert "2 of 4 (50.0%) are cut at --max-length 100" in line(cut, "lengths")
    # 398 tokens of a text in windows of 98, of which neighbours share 25
    assert "2 of 4 (50.0%) are read in windows of --max-length 100, 6 at most" in line(whole, "lengths")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "a second"),
        (45, "45 seconds"),
        (119, "119 seconds"),
        (600, "10 minutes"),
        (9000, "2 hours"),
        (1e6, "12 days"),
    ],
)
def test_a_duration_is_told_in_one_unit(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_rows_of_a_sorted_file_are_tried_from_all_labels() -> None:
    rows = [("a", 0), ("b", 0), ("c", 0), ("d", 1), ("e", None)]
    assert spread(rows, 3) == [("a", 0), ("d", 1), ("e", None)]
    assert spread(rows, 4)[3] == ("b", 0)
    assert len(spread(rows, 99)) == 5


def test_a_sample_is_the_first_rows_that_have_a_text_and_ends_where_they_are_long(tmp_path: Path) -> None:
    texts = ["", "one", None, "  ", "two", *["x" * 300_000] * 20]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    rows, looked_at = sample(open_documents(DataSpec(str(tmp_path / "rows.jsonl"))))
    assert [text[:3] for text, _, _ in rows] == ["one", "two", *["xxx"] * 7]
    assert looked_at == 12


def test_rows_without_texts_are_suspicious_where_they_are_more_than_half() -> None:
    assert not made(without_text=(5, 10)).suspicious
    assert made(without_text=(6, 10)).suspicious == ["6 of the first 10 rows have no text (see --text-column)"]


def test_classes_without_names_are_their_numbers() -> None:
    shape = replace(BASE, names=("0", "1"))
    assert line(made(shape=shape), "classes") == "0, 1, by softmax"
    config = replace(made().config, target="1")
    assert line(made(shape=shape, config=config), "target") == "class 1, for every row"
    assert line(made(rows=1), "data") == "reviews.csv, 1 row"


def test_check_tells_all_of_it_without_writing_or_starting_anything(
    tiny_models, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("reviews.csv").write_text("text,label\ngood movie,positive\nbad movie,negative\nWOW movie,\n")
    words = ["--dataset", "reviews.csv", "--model", str(tiny_models["bert"]), "--max-length", "64"]
    assert check.main([*words, "--label-map", "positive=1,negative=0"]) == 0
    out = capsys.readouterr().out
    lines = dict(text.split(maxsplit=1) for text in out.splitlines() if not text.startswith("tokens"))
    assert lines["data"] == "reviews.csv, 3 rows"
    assert lines["labels"] == "0: 1, 1: 1, none: 1"
    assert "tokens      [CLS] good movie [SEP]" in out
    assert lines["unknown"] == "1 of the first 6 tokens (16.7%)"
    assert "16.7% of the first 6 tokens are unknown to the tokenizer: the texts" in lines["suspicious"]
    assert "2 labels are as predicted" in lines["trial"]
    assert "(measured here)" in lines["cost"]
    assert [path.name for path in tmp_path.iterdir()] == ["reviews.csv"]


def test_what_check_tells_of_a_text_is_what_a_run_computes(tiny_models, tmp_path: Path) -> None:
    """The same predictions, by the same tokens."""
    config = replace(QUICK, dataset="demo", limit=16, model=str(tiny_models["distilbert"]))
    found = check_input(config)
    explain_here(tmp_path / "run", config, Shared)
    rows = pq.read_table(tmp_path / "run" / "attributions").to_pylist()
    assert [list(tokens) for tokens in found.first_tokens] == [row["tokens"] for row in rows[:3]]
    labels = find_model(config.model).shape.labels
    predicted = {name: sum(labels[row["prediction"]] == name for row in rows) for name in labels}
    assert found.trial is not None
    assert found.trial.predicted == {name: count for name, count in predicted.items() if count}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--dataset", "nowhere.csv", "--max-length", "64"], "nowhere.csv"),
        (["--dataset", "demo", "--max-length", "99"], "--max-length is 99; expected at most 64"),
        (["--dataset", "demo", "--max-length", "64", "--target", "7"], "--target is '7'"),
    ],
)
def test_check_ends_as_explain_would(words: list[str], said: str, tiny_models, capsys) -> None:
    assert check.main([*words, "--model", str(tiny_models["bert"])]) == UsageError("").exit_code == 1
    assert said in capsys.readouterr().err


def test_explain_tells_it_when_a_run_begins_and_not_when_it_goes_on(tiny_models, tmp_path: Path, capsys) -> None:
    (tmp_path / "rows.csv").write_text("text,label\na secret movie,1\nbad bad movie,0\n")
    config = replace(QUICK, dataset=str(tmp_path / "rows.csv"), model=str(tiny_models["bert"]))
    explain_here(tmp_path / "run", config, Shared)
    told = capsys.readouterr().err
    assert "rows.csv, 2 rows" in told
    assert "labels      0: 1, 1: 1" in told
    assert "16.7% of the first 6 tokens are unknown" in told
    assert "movie" not in told  # stderr is no terminal here, but somebody's log
    result = explain_here(tmp_path / "run", config, Shared)
    assert "rows.csv, 2 rows" not in capsys.readouterr().err
    assert result.lines()[-1].startswith("suspicious: 16.7% of")  # which the end of every start repeats


def test_a_current_folder_that_is_gone_is_one_line(tiny_models, tmp_path: Path, monkeypatch, capsys) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert check.main(["--dataset", "demo", "--model", str(tiny_models["bert"]), "--max-length", "64"]) == 1
    assert "the current folder cannot be used (No such file or directory)" in capsys.readouterr().err
    os.chdir(tmp_path)
