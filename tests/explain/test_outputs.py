"""What is explained of networks whose logits say something else than one class of several: labels, or a number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ig_worker.errors import UsageError
from ig_worker.explain.explanation import relative_l1
from ig_worker.explain.rules import fixed_rule
from ig_worker.models.files import find_model
from ig_worker.models.shape import with_outputs
from tests.explain.engines import SHAPE, problems
from tests.tiny import save_tiny_head_model, save_tiny_model

LABELS = {"num_labels": 3, "problem_type": "multi_label_classification"}
VALUE = {"num_labels": 1, "problem_type": "regression"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("outputs")
    return {
        "labels": save_tiny_model(folder / "labels", "bert", **LABELS),
        "values": save_tiny_model(folder / "values", "distilbert", **VALUE),
        "one logit": save_tiny_model(folder / "one", "bert", num_labels=1),
    }


def load(directory: Path, outputs: str = "auto"):
    from ig_worker.models.classifier import load_classifier

    return load_classifier(find_model(str(directory), outputs=outputs))


def logits_of(classifier, text) -> np.ndarray:
    from ig_worker.models import network

    halves = classifier.split("embeddings")
    one = type(text)(*(field[None] for field in text))
    return network.logits(
        classifier.weights, classifier.shape, halves.encode(halves.project(halves.below(one)), one.mask)
    )


@pytest.mark.parametrize("kind", ["labels", "values"])
def test_alibi_gives_the_same_of_each_kind(models: dict[str, Path], kind: str) -> None:
    from ig_worker.explain.fused import FusedEngine
    from ig_worker.explain.reference import AlibiEngine

    classifier = load(models[kind])
    cases = [case for case in problems(classifier) if not case.target.number]
    ours = FusedEngine(classifier.split("embeddings"), fixed_rule("gausslegendre", 20), SHAPE).explain(cases)
    theirs = AlibiEngine(classifier, "embeddings", "gausslegendre", 20).explain(cases)
    for a, b in zip(ours, theirs, strict=True):
        assert relative_l1(a.attributions, b.attributions) <= 1e-4
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-5)
        assert a.target == b.target
    assert max(np.abs(a.attributions).sum() for a in ours) > 0.05


def test_each_label_has_a_probability_of_its_own(models: dict[str, Path]) -> None:
    from ig_worker.explain.adaptive import AdaptiveEngine

    classifier = load(models["labels"])
    assert (classifier.shape.outputs, classifier.shape.classes) == ("labels", 3)
    cases = problems(classifier)[:4]
    for case, found in zip(cases, AdaptiveEngine(classifier.split("embeddings"), 1e-3).explain(cases), strict=True):
        (logits,) = np.asarray(logits_of(classifier, case.text), np.float64)
        np.testing.assert_allclose(found.probabilities, 1 / (1 + np.exp(-logits)), atol=1e-6)
        assert abs(found.delta) <= 1e-3 * np.abs(found.attributions).sum() + 1e-5
        assert found.target == found.probabilities.argmax()


def test_a_regression_explains_its_value(models: dict[str, Path]) -> None:
    from ig_worker.explain.adaptive import AdaptiveEngine

    classifier = load(models["values"])
    assert (classifier.shape.outputs, classifier.shape.classes, classifier.shape.labels) == ("values", 1, ("LABEL_0",))
    cases = problems(classifier)[:4]
    for case, found in zip(cases, AdaptiveEngine(classifier.split("embeddings"), 1e-3).explain(cases), strict=True):
        (logits,) = np.asarray(logits_of(classifier, case.text))
        np.testing.assert_allclose(found.probabilities, logits, rtol=1e-5, atol=1e-5)
        change = found.target_probability - found.baseline_probability
        assert found.attributions.sum() == pytest.approx(
            change, abs=2e-3 * float(np.abs(found.attributions).sum()) + 1e-5
        )


def test_a_single_logit_is_what_the_user_says(models: dict[str, Path]) -> None:
    one = models["one logit"]
    assert load(one).shape.classes == load(one, "single-label").shape.classes == 2
    assert load(one, "regression").shape.outputs == "values"
    assert load(one, "multi-label").shape.classes == 1
    assert load(one, "multi-label").shape.labels == ("LABEL_0",)
    assert load(models["labels"], "single-label").shape.outputs == "classes"


def test_a_head_on_all_positions_has_classes(tmp_path: Path) -> None:
    shape = find_model(str(save_tiny_head_model(tmp_path / "m", "bert"))).shape
    assert with_outputs(shape, "single-label") == replace(shape, assumed=False)
    with pytest.raises(UsageError, match="--outputs is regression; expected single-label"):
        with_outputs(shape, "regression")
