"""Training on rows of two texts: what is learnt needs both, and the model is explained on pairs afterwards."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ig_worker.errors import ModelError
from ig_worker.models.encoders import counting_of
from ig_worker.models.examples import read_examples, tokenize
from ig_worker.models.finetune import finetune
from ig_worker.models.layers import NetworkShape
from ig_worker.models.recipes import find_recipe, revise
from ig_worker.models.tokenize import TextEncoder, load_tokenizer
from ig_worker.run.config import ExplainConfig
from ig_worker.run.store.run_store import RunStore
from jobs import finetune as job
from tests.models.pair_task import ALONE, SCALE, write_pairs
from tests.run.in_process import explain_here
from tests.tiny import IN_TENSORFLOW, save_tiny_model, save_tokenizer

SHAPE = NetworkShape("bert", 32, 2, 2, 100, 64, "gelu", 1e-12, 2, ("0", "1"), intermediate=64, types=2)
FROM_SCRATCH = (
    "--recipe bert --from-scratch --blocks 2 --hidden 32 --heads 2 --intermediate 64 --vocabulary 200 --max-length 24 "
    "--batch-rows 16 --learning-rate 5e-3 --steps 150 --warmup-steps 0"
).split()


def explain_rows(model: Path, data: Path, place: Path) -> list[dict[str, Any]]:
    """The results of explaining the first rows of `data`, each held against alibi to the limit of a run, 0.001.

    A prediction that is sure of itself hardly changes along the path: what is left is rounding to a larger part.
    """
    config = ExplainConfig(
        dataset=str(data), model=str(model), pair_column="other", limit=6, audit=1.0, max_length=24,
        method="gausslegendre", n_steps=20,
    )  # fmt: skip
    assert explain_here(place, config).exit_code == 0
    store = RunStore(str(place))
    rows: list[dict[str, Any]] = store.results.read(0).to_pylist()
    return rows


def test_a_task_that_needs_both_texts_is_learnt_from_the_command_line_and_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, model = tmp_path / "pairs.jsonl", tmp_path / "model"
    write_pairs(data)
    assert job.main([*FROM_SCRATCH, "--dataset", str(data), "--pair-column", "other", "--out", str(model)]) == 0
    assert "on 40 rows" in capsys.readouterr().out
    metrics = json.loads((model / "metrics.json").read_text())
    assert metrics["test_accuracy"] > 0.95 > ALONE + 0.25
    assert (metrics["pair_column"], metrics["train_rows"]) == ("other", 360)
    rows = explain_rows(model, data, tmp_path / "run")
    assert [row["prediction"] for row in rows] == [row["label"] for row in rows]
    for row in rows:
        size = np.abs(row["attributions"])
        said = np.isin(row["tokens"], SCALE)
        assert sorted(np.array(row["segments"])[said]) == [0, 1]
        assert size[said].sum() > 0.5 * size.sum(), "two of some ten tokens say the label"


# Random networks of these initial weights learn it in so many steps; ALBERT's blocks, which share theirs, need larger.
RANGES = {"albert": 0.1}


@pytest.mark.heavy
@pytest.mark.parametrize("architecture", IN_TENSORFLOW)
def test_every_encoder_that_transformers_trains_learns_from_two_texts(architecture: str, tmp_path: Path) -> None:
    base = save_tiny_model(
        tmp_path / "base", architecture, initializer_range=RANGES.get(architecture, 0.05), **two_types(architecture)
    )
    recipe = revise(find_recipe("encoder"), base=str(base), steps=400, learning_rate=3e-3)
    spec, model = write_pairs(tmp_path / "pairs.jsonl"), tmp_path / "model"
    metrics = finetune(replace(recipe, max_length=24, batch_rows=16), spec, str(model))
    assert metrics.test_accuracy > 0.95 > ALONE + 0.25
    for row in explain_rows(model, tmp_path / "pairs.jsonl", tmp_path / "run"):
        assert row["prediction"] == row["label"]
        assert set(row["segments"]) == {-1, 0, 1}


def two_types(architecture: str) -> dict[str, int]:
    """The tokenizer of these networks is BERT's here, which has two token types."""
    return {"type_vocab_size": 2} if architecture in ("roberta", "xlm-roberta", "camembert", "deberta-v2") else {}


@pytest.fixture
def encoder(tmp_path: Path) -> TextEncoder:
    save_tokenizer(tmp_path)
    return TextEncoder(load_tokenizer(str(tmp_path), 100), "bert", 24)


def test_token_types_go_to_the_network_where_it_tells_them_apart(encoder: TextEncoder, tmp_path: Path) -> None:
    from ig_worker.models.training import end_to_end_task

    train, _, _ = read_examples(write_pairs(tmp_path / "pairs.jsonl"))
    seen: list[dict[str, Any]] = []

    def network(**given: Any) -> Any:
        seen.append(given)
        return SimpleNamespace(logits=None)

    for types in (2, 0):
        rows = tokenize(encoder, train, replace(SHAPE, types=types))
        task = end_to_end_task(SimpleNamespace(classifier=network, trained=None), rows)  # type: ignore[arg-type]
        task.logits(*task.load(np.array([0, 3])), training=True)
        assert len(task.signature) == len(seen[-1]) - 1, "but for `training`"
    told, untold = seen
    assert "token_type_ids" not in untold
    for row, i in enumerate((0, 3)):
        expected = encoder.tokenizer(train.texts[i], train.pairs[i])  # type: ignore[index]
        length = len(expected["input_ids"])
        assert told["input_ids"][row].tolist()[:length] == expected["input_ids"]
        assert told["token_type_ids"][row].tolist()[:length] == expected["token_type_ids"]
        assert not told["token_type_ids"][row][length:].any()
        assert told["attention_mask"][row].sum() == length


def test_a_network_that_would_count_positions_otherwise_is_told_them(encoder: TextEncoder, tmp_path: Path) -> None:
    """transformers' TensorFlow RoBERTa takes 1 for the padding id; what is explained goes by config.json."""
    train, _, _ = read_examples(write_pairs(tmp_path / "pairs.jsonl", 60))
    roberta = replace(SHAPE, architecture="roberta", types=1, padding=0, unused_positions=1)
    encoder = TextEncoder(encoder.tokenizer, "bert", 24, counting_of(roberta))
    rows = tokenize(encoder, train, roberta)
    assert rows.names == ("input_ids", "attention_mask", "token_type_ids", "position_ids")
    length = len(rows.ids[0])
    assert rows.batch([0])[3][0].tolist() == [*range(1, length + 1), *[0] * (24 - length)]
    usual = replace(roberta, padding=1, unused_positions=2)
    assert "position_ids" not in tokenize(encoder, train, usual).names


def test_rows_of_one_text_are_given_no_token_types(encoder: TextEncoder, tmp_path: Path) -> None:
    spec = replace(write_pairs(tmp_path / "pairs.jsonl", 60), pair_column=None)
    train, _, _ = read_examples(spec)
    assert train.pairs is None
    assert tokenize(encoder, train, SHAPE).names == ("input_ids", "attention_mask")


def test_a_row_without_its_second_text_is_left_out(tmp_path: Path) -> None:
    spec = write_pairs(tmp_path / "pairs.jsonl", 60)
    with (tmp_path / "pairs.jsonl").open("a") as stream:
        stream.write('{"text": "good", "other": " ", "label": 1}\n{"text": "good", "other": null, "label": 1}\n')
    train, test, _ = read_examples(spec)
    assert train.pairs is not None
    assert len(train.pairs) + len(test) == 60
    assert not any(second in (None, " ") for second in train.pairs)


def test_a_vocabulary_is_learnt_from_both_texts(tmp_path: Path) -> None:
    train, _, _ = read_examples(write_pairs(tmp_path / "pairs.jsonl", 60))
    assert {"plot", "end"} <= set(" ".join(train.all_texts).split())
    assert len(train.all_texts) == 2 * len(train)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--recipe", "bert-head"],
            "--recipe bert-head reads texts in style plain, which puts nothing between two texts; expected one of "
            "tiny, distilbert, bert, encoder for rows of two texts; give one of them, or leave --pair-column out",
        ),
        (
            [*FROM_SCRATCH, "--max-length", "4"],
            "--max-length is 4, and a pair has 3 special tokens; expected at least 5, or no --pair-column",
        ),
        (["--recipe", "tiny", "--pair-column", "second"], "has no column 'second'"),
    ],
)
def test_what_cannot_read_two_texts_is_refused_in_one_line_before_anything_is_made(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pairs(tmp_path / "pairs.jsonl", 60)
    given = ["--dataset", str(tmp_path / "pairs.jsonl"), "--out", str(tmp_path / "model"), "--pair-column", "other"]
    assert job.main([*given, *options]) == 1
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.jsonl"]


def test_a_base_with_one_token_type_is_refused_where_its_tokenizer_gives_two(tmp_path: Path) -> None:
    base = save_tiny_model(tmp_path / "base", "roberta", type_vocab_size=1)
    recipe = replace(revise(find_recipe("encoder"), base=str(base), steps=2), max_length=24)
    with pytest.raises(ModelError, match="gives the second of two texts token type 1, and the network has 1"):
        finetune(recipe, write_pairs(tmp_path / "pairs.jsonl", 60), str(tmp_path / "model"))
    assert not (tmp_path / "model").exists()
