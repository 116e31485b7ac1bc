"""The models that people use most: the page says what becomes of each, and `make test-all` tries them again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ig_worker.errors import ModelError
from ig_worker.models.shape import read_shape
from tests.models.forty import FORTY, REFUSED, RESULTS, Published, outcome, table
from tests.pages import between


def test_the_page_says_what_became_of_each() -> None:
    found = json.loads(RESULTS.read_text())
    assert found.keys() == {model.name for model in FORTY}
    assert len(FORTY) + len(REFUSED) == 40
    assert sum(not told for told in found.values()) == 38
    assert between("forty") == table(found)


def test_sizes_are_those_that_are_published() -> None:
    """The numbers of weights that hubs name, in millions, of one of each encoder."""
    sizes = {model.name: round(model.parameters / 1e6, 1) for model in FORTY}
    assert sizes["distilbert/distilbert-base-uncased-finetuned-sst-2-english"] == 67.0
    assert sizes["cross-encoder/ms-marco-MiniLM-L6-v2"] == 22.7
    assert sizes["FacebookAI/roberta-large-mnli"] == 355.4
    assert sizes["BAAI/bge-reranker-v2-m3"] == 567.8
    assert sizes["protectai/deberta-v3-base-prompt-injection-v2"] == 184.4
    assert sizes["Alibaba-NLP/gte-reranker-modernbert-base"] == 149.6


def test_what_has_no_encoder_here_is_refused_with_those_that_there_are() -> None:
    for kind in REFUSED.values():
        with pytest.raises(ModelError, match=rf"the model's type is '{kind}'; expected one of .*roberta.*modernbert"):
            read_shape({"model_type": kind})


@pytest.mark.heavy
@pytest.mark.parametrize("model", FORTY, ids=lambda model: model.name.split("/")[1])
def test_a_tiny_network_of_its_make_goes_the_whole_way(model: Published, tmp_path: Path) -> None:
    kept = json.loads(RESULTS.read_text())[model.name]
    assert outcome(model, tmp_path) == kept
