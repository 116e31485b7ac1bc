"""Runs of two texts a row, in this process: chunks, results, checks, evaluation and tables, on tiny networks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ig_worker
from ig_worker import schema
from ig_worker.data.sources import DataSpec, open_documents
from ig_worker.errors import DataError, RunMismatchError, UsageError
from ig_worker.insight.tables.aggregate import aggregate
from ig_worker.models.files import find_model
from ig_worker.run.chunk.audit import audit_chunk
from ig_worker.run.chunk.records import Binding
from ig_worker.run.chunk.worker import ChunkWorker
from ig_worker.run.config import ExplainConfig
from ig_worker.run.dispatch.executor import InProcess
from ig_worker.run.identity import run_identity
from ig_worker.run.later_config import EvaluateConfig
from ig_worker.run.steps.explain import check_input
from ig_worker.run.steps.recompute import recompute
from ig_worker.run.steps.verify import verify_run
from ig_worker.run.store.run_store import RunStore
from tests.models.forty import Published, make
from tests.run.in_process import Here, explain_here
from tests.tiny import save_tiny_model

ROWS = [
    {"id": "a", "text": "good film", "pair": "the acting was great ; a joy", "label": 1},
    {"id": "b", "text": "a dull plot", "pair": "slowly awful , not good", "label": 0},
    {"id": "empty", "text": "a dull plot", "pair": " ", "label": 0},
    {"id": "null", "text": "a dull plot", "pair": None, "label": 0},
    {"id": "long", "text": "very good movie " * 9, "pair": "never boring " * 4, "label": 1},
]
SETTINGS: dict[str, Any] = {
    "method": "gausslegendre", "n_steps": 10, "max_length": 20, "pair_column": "pair", "cpus_per_actor": 1,
}  # fmt: skip
OTHERS = [  # encoder and tokenizer
    ("roberta", "roberta"), ("electra", "electra"), ("deberta-v2-largest", "deberta"), ("deberta-v3", "deberta"),
    ("distilbert", "bert"), ("xlm-roberta", "xlm-roberta"), ("camembert", "camembert"), ("albert", "albert"),
    ("mpnet", "mpnet"), ("modernbert", "modernbert"),
]  # fmt: skip
COMMON = ("bert", "roberta", "distilbert", "electra", "deberta-v2")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def find(name: str) -> Path:
        if name not in made:
            made[name] = save_tiny_model(tmp_path_factory.mktemp("models") / name, name, **_types(name))
        return made[name]

    return find


def _types(name: str) -> dict[str, int]:
    """The tokenizer of these networks is BERT's, which has two token types."""
    return {"type_vocab_size": 2} if name in ("roberta", "deberta-v2") else {}


@pytest.fixture(scope="module")
def explained(data, model, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A run of pairs on BERT, and how it ended."""
    place = tmp_path_factory.mktemp("run") / "run"
    config = ExplainConfig(dataset=str(data), model=str(model("bert")), audit=1.0, **SETTINGS)
    return place, explain_here(place, config)


def test_every_pair_is_explained_or_quarantined_with_its_reason(explained) -> None:
    place, result = explained
    store = RunStore(str(place))
    assert result.exit_code == 3
    quarantine = store.results.quarantined().to_pylist()
    assert [(row["id"], row["reason"], row["detail"]) for row in quarantine] == [
        ("empty", "empty_pair", "pair ' ' has no words"),
        ("null", "empty_pair", "pair is null"),
    ]
    rows = store.results.read(0)
    assert rows.schema.remove_metadata().equals(schema.attributions(pairs=True))
    first, _, long = rows.to_pylist()
    assert first["tokens"] == "[CLS] good film [SEP] the act ##ing was great ; a joy [SEP]".split()
    assert first["segments"] == [-1, 0, 0, -1, *[1] * 8, -1]
    assert first["word_ids"] == [-1, 0, 1, -1, 2, 3, 3, 4, 5, 6, 7, 8, -1]
    assert rows.column("truncated").to_pylist() == [False, False, True]
    assert (len(long["tokens"]), long["segments"].count(0), long["segments"].count(1)) == (20, 9, 8)
    chunk, _ = store.chunks.read(0)
    assert chunk.schema.remove_metadata().equals(schema.inputs(pairs=True))


def test_the_special_tokens_of_a_pair_get_no_attribution(explained) -> None:
    for row in RunStore(str(explained[0])).results.read(0).to_pylist():
        values, segments = np.array(row["attributions"]), np.array(row["segments"])
        assert (values[segments < 0] == 0).all()
        assert np.abs(values[segments == 1]).sum() > 0


def test_alibi_agrees_about_pairs(explained) -> None:
    audit = RunStore(str(explained[0])).aggregates.read("audit")
    assert audit.num_rows == 3
    assert max(audit.column("relative_l1").to_pylist()) <= 1e-4


@pytest.mark.parametrize(("kind", "tokenizer"), OTHERS)
def test_alibi_agrees_about_pairs_of_other_encoders(kind: str, tokenizer: str, tmp_path: Path) -> None:
    """Each with the kind of tokenizer that it is published with: what stands between the texts, and their types."""
    network = make(tmp_path / "model", Published(kind, kind, 0, 0, 0, 0, 2, tokenizer))
    worker = ChunkWorker(ExplainConfig(dataset="x", model="m", **SETTINGS), find_model(str(network)))
    store = RunStore(str(tmp_path / "run"))
    store.chunks.write(0, pa.Table.from_pylist(ROWS[:2], schema=schema.inputs(pairs=True)), {})
    worker.explain_chunk(store, 0, Binding("print", 0))
    template = worker.reader.encoder.pair_template
    for row in store.results.read(0).to_pylist():
        values, segments = np.array(row["attributions"]), np.array(row["segments"])
        expected = [token for special in template.around for token in special.tokens]
        assert [token for token, segment in zip(row["tokens"], segments, strict=True) if segment < 0] == expected
        assert (values[segments < 0] == 0).all()
        assert all(np.abs(values[segments == text]).sum() > 0 for text in (0, 1))
    records = audit_chunk(worker, store, 0, 1.0)
    assert [record["id"] for record in records] == ["a", "b"]
    assert max(record["relative_l1"] for record in records) <= 1e-4


def test_a_run_of_pairs_is_sound_and_comes_out_the_same_again(explained) -> None:
    store = RunStore(str(explained[0]))
    found = verify_run(store)
    assert [fault.what for fault in found.faults] == []
    assert recompute(store, 1.0, executor=InProcess(Here)).largest == 0.0


def test_the_tables_say_how_much_lies_on_each_text(explained) -> None:
    store = RunStore(str(explained[0]))
    tables = aggregate(store)
    rows = store.results.read(0).to_pylist()
    for record in tables["segments"].to_pylist():
        number = {"special": -1, "first": 0, "second": 1}[record["segment"]]
        here = [row for row in rows if row["target"] == record["target"]]
        values = [(a, s == number) for row in here for a, s in zip(row["attributions"], row["segments"], strict=True)]
        inside = [a for a, own in values if own]
        assert record["tokens"] == len(inside)
        assert record["sum"] == pytest.approx(sum(inside), abs=1e-6)
        assert record["share"] == pytest.approx(sum(map(abs, inside)) / sum(abs(a) for a, _ in values), abs=1e-6)
    ngrams = set(tables["ngrams"].column("ngram").to_pylist())
    assert not any("film the" in ngram for ngram in ngrams)  # the last word of one text, the first of another


def test_evaluation_gives_a_pair_to_the_network_as_it_was_explained(explained, model) -> None:
    """What is stored of a row makes the very input that was explained, and so the probability that is stored."""
    place, _ = explained
    config = ExplainConfig(dataset="x", model="m", **SETTINGS)
    worker, store = ChunkWorker(config, find_model(str(model("bert")))), RunStore(str(place))
    stored = store.results.read(0)
    test = worker.faithfulness(EvaluateConfig(share=1.0, baselines_share=1.0, replace="delete"))
    subjects = test.subjects(stored)
    pairs = [(row["text"], row["pair"]) for row in (ROWS[0], ROWS[1], ROWS[4])]
    expected = worker.reader.encoder.encode(*map(list, zip(*pairs, strict=True)))
    for subject, tokens in zip(subjects, expected, strict=True):
        for ours, theirs in zip(subject.text, tokens.inputs, strict=True):
            assert ours.tolist() == theirs.tolist()
        assert set(subject.text.types.tolist()) == {0, 1}
    curves = [one for one in test.curves(subjects) if one["method"] == "integrated_gradients"]
    for row, curve in zip(stored.to_pylist(), curves, strict=True):
        assert curve["deletion"][0] == pytest.approx(row["target_probability"], abs=1e-6)
    assert test.measure_chunk(store, 0).rows == 3


@pytest.mark.parametrize("name", COMMON)
def test_token_types_of_stored_rows_are_those_of_the_tokenizer(model, name: str) -> None:
    worker = ChunkWorker(ExplainConfig(dataset="x", model="m", **SETTINGS), find_model(str(model(name))))
    (tokens,) = worker.reader.encoder.encode(["good film"], ["a joy"])
    again = worker.reader.encoder.pair_template.types_of_segments(tokens.segments)
    assert again.tolist() == tokens.inputs.types.tolist() == [0, 0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("name", ["bert", "electra"])
def test_logits_of_pairs_are_those_of_transformers(model, name: str) -> None:
    import transformers

    from ig_worker.models import network
    from ig_worker.models.classifier import load_classifier
    from ig_worker.models.encoders import ENCODERS
    from ig_worker.models.inputs import ModelInput
    from ig_worker.models.runtime import tf
    from ig_worker.models.tokenize import TextEncoder

    files = find_model(str(model(name)))
    classifier = load_classifier(files)
    theirs = getattr(transformers, f"TF{ENCODERS[name].classes}ForSequenceClassification").from_pretrained(model(name))
    batch = classifier.tokenizer(ROWS[0]["text"], ROWS[0]["pair"], return_tensors="tf")
    expected = theirs(**batch).logits.numpy()
    (tokens,) = TextEncoder(classifier.tokenizer, "bert", 40, classifier.counting).encode(
        [ROWS[0]["text"]], [ROWS[0]["pair"]]
    )
    halves = network.split(classifier.weights, classifier.shape, 0)
    text = ModelInput(*(tf.constant(field[None]) for field in tokens.inputs))
    z = halves.encode(halves.project(halves.below(text)), text.mask)
    found = network.logits(classifier.weights, classifier.shape, z).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    without = network.logits(
        classifier.weights, classifier.shape,
        halves.encode(halves.project(halves.below(text._replace(types=tf.zeros_like(text.types)))), text.mask),
    ).numpy()  # fmt: skip
    assert np.abs(without - expected).max() > 1e-3  # token types matter to this network


def test_a_cross_encoder_with_one_logit_is_explained(tmp_path: Path) -> None:
    made = save_tiny_model(tmp_path / "model", "bert", num_labels=1)
    found = ig_worker.explain(
        ["good film", "a dull plot"], pairs=["a joy", "never boring"], model=made, method="gausslegendre", n_steps=5,
        max_length=20,
    )  # fmt: skip
    rows = found.to_arrow().to_pylist()
    assert [row["segments"] for row in rows] == [[-1, 0, 0, -1, 1, 1, -1], [-1, 0, 0, 0, -1, 1, 1, -1]]
    assert all(len(row["probabilities"]) == 2 for row in rows)
    assert "first text</span>" in found[0].html()
    assert "second text</span>" in found[0].html(by_word=True)


def test_adaptive_runs_of_pairs_have_a_pilot(data, model, tmp_path: Path) -> None:
    many = tmp_path / "many.jsonl"
    many.write_text("".join(json.dumps({**ROWS[i % 2], "id": f"r{i}"}) + "\n" for i in range(12)))
    changed = {name: value for name, value in SETTINGS.items() if name not in ("method", "n_steps")}
    config = ExplainConfig(dataset=str(many), model=str(model("bert")), pilot="4", tolerance=0.02, **changed)
    assert explain_here(tmp_path / "run", config).exit_code == 0
    store = RunStore(str(tmp_path / "run"))
    assert "segments" in pq.read_schema(tmp_path / "run" / "pilot.parquet").names
    assert store.results.read(0).num_rows == 12
    assert verify_run(store).faults == []


def test_a_notebook_reads_a_run_of_pairs(explained) -> None:
    run = ig_worker.open(explained[0])
    assert run["a"].segments[1] == 0
    assert "second text" in run["a"].html()
    assert "segments" in run.to_arrow().column_names


def test_pairs_in_a_notebook_that_cannot_be_read_have_their_reasons(model) -> None:
    found = ig_worker.explain(
        ["a", "b", "good film", "d"], pairs=[None, 7, "a joy", b"\xff"], model=model("bert"), method="gausslegendre",
        n_steps=2, max_length=20,
    )  # fmt: skip
    assert found.failures == {
        0: "pair is null", 1: "pair 7 is not a string", 3: "pair is not UTF-8 (byte 0)",
    }  # fmt: skip
    with pytest.raises(UsageError, match="there are 1 pairs and 2 texts; expected a second text for each text"):
        ig_worker.explain(["a", "b"], pairs=["c"], model=model("bert"))


def test_what_a_run_would_do_says_what_stands_around_both_texts(data, model) -> None:
    config = ExplainConfig(dataset=str(data), model=str(model("bert")), **SETTINGS)
    lines = check_input(config).lines()
    assert any(line.startswith("special") and "[CLS] first text [SEP] second text [SEP]" in line for line in lines)
    assert any("[CLS] good film [SEP] the act ##ing" in line for line in lines)


def test_a_network_with_one_token_type_is_refused_before_anything_starts(data, tmp_path: Path) -> None:
    made = save_tiny_model(tmp_path / "model", "roberta", type_vocab_size=1)
    config = ExplainConfig(dataset=str(data), model=str(made), **SETTINGS)
    with pytest.raises(ig_worker.errors.ModelError, match="gives the second of two texts token type 1") as caught:
        explain_here(tmp_path / "run", config)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "attributions").exists()


def test_pairs_in_style_plain_are_refused_in_one_line() -> None:
    with pytest.raises(UsageError, match="--text-style is 'plain', which puts nothing between two texts"):
        ExplainConfig(dataset="x", model="m", pair_column="pair", text_style="plain").check()


def test_a_run_without_pairs_is_what_it_was(tmp_path: Path) -> None:
    """The digests are those of the version before there were pairs."""
    (tmp_path / "a.jsonl").write_text('{"text":"good film","label":1,"id":"a"}\n{"text":"dull","label":0,"id":"b"}\n')
    (tmp_path / "a.csv").write_text("text,label,id\ngood film,1,a\ndull,0,b\n")
    for name, digest in (
        ("a.jsonl", "4b2ade9c8d3bb856"), ("a.csv", "918ae99a2b39417d"), ("demo", "7ac61002877dd831"),
    ):  # fmt: skip
        place = name if name == "demo" else str(tmp_path / name)
        assert open_documents(DataSpec(place)).digest.startswith(digest)
    identity = run_identity(ExplainConfig(dataset="x", model="m"), "d", "w", "t")
    assert "pair_column" not in identity, "what is not asked for is no part of the fingerprint"


def test_the_fingerprint_knows_the_column_of_the_second_texts(data, model, tmp_path: Path) -> None:
    digests = {open_documents(DataSpec(str(data), pair_column=name)).digest for name in (None, "", "pair", "id")}
    assert len(digests) == 3
    config = ExplainConfig(dataset=str(data), model=str(model("bert")), **SETTINGS)
    explain_here(tmp_path / "run", config)
    with pytest.raises(RunMismatchError):
        explain_here(
            tmp_path / "run",
            ExplainConfig(dataset=str(data), model=str(model("bert")), **(SETTINGS | {"pair_column": None})),
        )


def test_demo_has_no_second_texts() -> None:
    with pytest.raises(DataError, match="--pair-column is 'pair', which demo does not have; leave it out"):
        open_documents(DataSpec("demo", pair_column="pair"))
