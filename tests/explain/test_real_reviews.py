"""Real reviews, real word pieces: lengths, truncation and rare characters that made-up texts do not have."""

from __future__ import annotations

from pathlib import Path

import pytest

from ig_worker.data.sources import DataSpec, open_documents
from ig_worker.explain.baselines import SpecialIds, baseline_ids
from ig_worker.explain.explanation import relative_l1
from ig_worker.explain.problems import Problem
from ig_worker.explain.rules import fixed_rule


@pytest.fixture(scope="module")
def classifier(real_data: Path, tmp_path_factory: pytest.TempPathFactory):
    from ig_worker.models.classifier import load_classifier
    from ig_worker.models.files import find_model
    from tests.tiny import save_tiny_model, save_tokenizer

    pieces = (real_data / "bert-base-uncased-vocab.txt").read_text().splitlines()
    sizes = {"vocab_size": len(pieces), "max_position_embeddings": 256, "n_layers": 2, "initializer_range": 0.1}
    directory = save_tiny_model(tmp_path_factory.mktemp("real") / "model", "distilbert", **sizes)
    for path in directory.glob("*token*"):
        path.unlink()
    save_tokenizer(directory, pieces=pieces)
    return load_classifier(find_model(str(directory)))


@pytest.mark.parametrize("style", ["bert", "plain"])
def test_both_engines_agree_on_real_reviews(real_data: Path, classifier, style: str) -> None:
    from ig_worker.explain.fused import FusedEngine
    from ig_worker.explain.reference import AlibiEngine
    from ig_worker.models.tokenize import TextEncoder

    batch = next(open_documents(DataSpec(str(real_data / "imdb.npz"), limit=16)).batches())
    encoded = TextEncoder(classifier.tokenizer, style, 128).encode(batch.column("text").to_pylist())
    special = SpecialIds.of(classifier.tokenizer)
    cases = [Problem(t.inputs, baseline_ids(t.inputs.ids, "pad", special)) for t in encoded]
    theirs = AlibiEngine(classifier, "embeddings", "gausslegendre", 10).explain(cases)
    ours = FusedEngine(classifier.split("embeddings"), fixed_rule("gausslegendre", 10)).explain(cases)
    assert any(t.truncated for t in encoded)
    assert max(relative_l1(a.attributions, b.attributions) for a, b in zip(ours, theirs, strict=True)) <= 1e-4
