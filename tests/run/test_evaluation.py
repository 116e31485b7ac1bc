"""What is evaluated of a chunk: the right rows, by a network that reads one token, and by a real one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from ig_worker import schema
from ig_worker.errors import RunStoppedError, UsageError
from ig_worker.explain.baselines import SpecialIds
from ig_worker.explain.targets import Scalar
from ig_worker.models.inputs import ModelInput, from_zero
from ig_worker.run.chunk.evaluator import FaithfulnessTest, iter_curves, read_curves
from ig_worker.run.chunk.sampling import audit_positions
from ig_worker.run.config import ExplainConfig
from ig_worker.run.dispatch.executor import InProcess
from ig_worker.run.later_config import EvaluateConfig
from ig_worker.run.steps.evaluate import measure_faithfulness
from ig_worker.run.store.run_store import RunStore
from tests.run.in_process import Shared, explain_here

TEXTS = ["good film", "a dull plot and bad acting", "joy", "the actor is never boring", "awful awful end", "", "slow"]
SPECIAL = SpecialIds(0, 4, 1, frozenset(range(5)))
ALL = EvaluateConfig(share=1.0, baselines_share=1.0)
DECISIVE = 12


class OneToken:
    """A network that reads nothing but whether the text has the decisive token."""

    def probabilities(self, texts: Sequence[ModelInput], scalars: Sequence[Scalar]) -> np.ndarray:
        return np.array([0.875 if DECISIVE in text.ids else 0.125 for text in texts], np.float32)

    def gradient_times_input(self, texts: Sequence[ModelInput], scalars: Sequence[Scalar]) -> list[np.ndarray]:
        return [np.where(text.ids == DECISIVE, -1.0, 0.0) for text in texts]


def attributed(*ids: str, tokens: int = 10) -> pa.Table:
    """Rows with the decisive token at position 5, which has the largest attribution."""
    row = {"target": 1, "contrast": None, "input_ids": [2, *[7] * 4, DECISIVE, *[7] * (tokens - 5), 3]}
    values = [9.0, *[0.1] * 4, 0.5, *[-0.6] * (tokens - 5), 9.0]
    return pa.Table.from_pylist([{"id": id, "attributions": values, **row} for id in ids])


def evaluated(table: pa.Table, config: EvaluateConfig = ALL) -> list[dict[str, Any]]:
    test = FaithfulnessTest(OneToken(), SPECIAL, False, config, from_zero)  # type: ignore[arg-type]
    return test.curves(test.subjects(table))


def test_a_ranking_that_finds_the_decisive_token_is_told_from_one_that_does_not() -> None:
    found = {record["method"]: record for record in evaluated(attributed("a"))}
    for method in ("integrated_gradients", "gradient_input", "occlusion"):
        assert found[method]["deletion"].tolist() == [0.875, *[0.125] * 10]
        assert found[method]["insertion"].tolist() == [0.125, *[0.875] * 10]
    assert found["random"]["deletion"][1] == 0.875  # it is not this id's first
    assert found["random"]["counts"].tolist() == list(range(11))


def test_rows_are_chosen_by_their_ids_and_the_baselines_rank_a_part_of_them() -> None:
    ids = [f"r{i}" for i in range(60)]
    records = evaluated(attributed(*ids), EvaluateConfig(share=0.5, baselines_share=0.2))
    by_method = {
        method: [r["id"] for r in records if r["method"] == method] for method in {r["method"] for r in records}
    }
    chosen, also = ([ids[i] for i in audit_positions(ids, share)] for share in (0.5, 0.2))
    assert by_method["integrated_gradients"] == by_method["random"] == chosen
    assert by_method["gradient_input"] == by_method["occlusion"] == also
    assert 0 < len(also) < len(chosen) < 60


def test_long_texts_are_not_occluded_and_texts_of_special_tokens_alone_not_evaluated() -> None:
    config = replace(ALL, occlusion_tokens=8)
    empty = pa.Table.from_pylist(
        [{"id": "b", "attributions": [0.0, 0.0], "target": 1, "contrast": None, "input_ids": [2, 3]}]
    )
    records = evaluated(pa.concat_tables([attributed("a"), empty, attributed("c", tokens=8)]), config)
    assert [r["id"] for r in records if r["method"] == "occlusion"] == ["c"]
    assert {r["id"] for r in records} == {"a", "c"}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, tiny_models: dict[str, Path]) -> Path:
    """A run of a real network, made in this process."""
    return explained(tmp_path_factory.mktemp("evaluated"), tiny_models["distilbert"])


def explained(place: Path, model: Path, **changes: Any) -> Path:
    rows = [{"id": f"r{i}", "text": text, "label": 1} for i, text in enumerate(TEXTS)]
    (place / "reviews.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = ExplainConfig(
        dataset=str(place / "reviews.jsonl"), model=str(model), chunk_rows=3, max_length=16,
        method="gausslegendre", n_steps=2, **changes,
    )  # fmt: skip

    explain_here(place / "run", config, Shared)
    return place / "run"


class Noting(Shared):
    """The real actor, which enters the chunks that it evaluates into `done`."""

    done: ClassVar[list[int]] = []

    def measure_faithfulness(self, index: int, config: EvaluateConfig) -> Any:
        record = super().measure_faithfulness(index, config)
        self.done.append(index)
        return record


evaluate_here = partial(measure_faithfulness, executor=InProcess(Noting))


@pytest.fixture
def computed() -> list[int]:
    """The chunks that `evaluate_here` evaluates."""
    Noting.done.clear()
    return Noting.done


def files(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((run / "evaluation").iterdir())}


def test_only_what_is_missing_damaged_or_of_other_settings_is_computed(real: Path, computed: list[int]) -> None:
    assert evaluate_here(str(real), ALL).rows == 6
    before = files(real)
    assert sorted(before) == [f"chunk-0000{i}.parquet" for i in range(3)]
    (real / "evaluation" / "chunk-00001.parquet").unlink()
    (real / "evaluation" / "chunk-00002.parquet").write_bytes(before["chunk-00002.parquet"][:-20])
    done = evaluate_here(str(real), replace(ALL, actors="3"))
    assert (done.computed, computed) == (2, [0, 1, 2, 1, 2])
    assert files(real) == before
    assert evaluate_here(str(real), replace(ALL, replace="pad")).computed == 3
    assert files(real).keys() == before.keys()


@pytest.mark.parametrize("kind", ["mask", "pad", "delete"])
def test_the_curves_run_from_what_the_run_has_written_to_the_text_without_tokens(real, computed, kind: str) -> None:
    config = replace(ALL, replace=kind)
    evaluate_here(str(real), config)
    store = RunStore(str(real))
    stored = {row["id"]: row for table in store.results.each() for row in table.to_pylist()}
    rows = [row for table in iter_curves(store, config) for row in table.to_pylist()]
    assert len(rows) == 4 * len(stored)
    for row in rows:
        whole, nothing = stored[row["id"]]["target_probability"], row["deletion"][-1]
        assert [row["deletion"][0], row["insertion"][-1]] == pytest.approx([whole, whole], abs=1e-6)
        assert row["insertion"][0] == nothing
        if kind == "pad":  # that text is the run's baseline
            assert nothing == pytest.approx(stored[row["id"]]["baseline_probability"], abs=1e-6)


def test_a_text_of_style_plain_keeps_its_padding(tmp_path: Path, tiny_models, computed: list[int]) -> None:
    run = explained(tmp_path, tiny_models["distilbert"], text_style="plain")
    config = EvaluateConfig(share=1.0, baselines_share=0.0, replace="delete")
    evaluate_here(str(run), config)
    store = RunStore(str(run))
    stored = {row["id"]: row for table in store.results.each() for row in table.to_pylist()}
    for table in iter_curves(store, config):
        for row in table.to_pylist():
            assert row["deletion"][0] == pytest.approx(stored[row["id"]]["target_probability"], abs=1e-6)
            assert row["counts"][-1] == sum(word >= 0 for word in stored[row["id"]]["word_ids"])


def test_probabilities_do_not_depend_on_what_shares_a_batch(real: Path, computed: list[int]) -> None:
    evaluate_here(str(real), replace(ALL, baselines_share=0.0))
    alone = [t.to_pylist() for t in iter_curves(RunStore(str(real)), replace(ALL, baselines_share=0.0))]
    evaluate_here(str(real), ALL)
    together = [t.to_pylist() for t in iter_curves(RunStore(str(real)), ALL)]
    for few, many in zip(alone, together, strict=True):
        same = [row for row in many if row["method"] in ("integrated_gradients", "random")]
        assert [row["counts"] for row in few] == [row["counts"] for row in same]
        assert [row["deletion"] for row in few] == [pytest.approx(row["deletion"], abs=1e-6) for row in same]


def test_what_is_of_another_run_chunk_or_result_counts_as_none(real: Path, computed: list[int]) -> None:
    evaluate_here(str(real), ALL)
    store = RunStore(str(real))
    commit = store.results.read_commit(0)
    assert read_curves(store, commit, ALL).schema.equals(schema.EVALUATION)
    assert read_curves(store, replace(commit, fingerprint="another"), ALL) is None
    assert read_curves(store, replace(commit, quarantined=(1,)), ALL) is None  # they have been tried again since
    assert read_curves(store, replace(commit, index=9), ALL) is None


def test_an_evaluation_ends_at_its_deadline_and_keeps_what_is_done(real: Path, computed: list[int]) -> None:
    config = replace(ALL, curve_steps=3, deadline=1e-9)
    with pytest.raises(RunStoppedError, match="--deadline of 1e-09 s has passed"):
        evaluate_here(str(real), config)
    assert evaluate_here(str(real), replace(config, deadline=None)).computed == 3


def test_another_model_is_refused(real: Path, tiny_models: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="is not the model of this run"):
        measure_faithfulness(str(real), replace(ALL, model=str(tiny_models["bert"])))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A Ray cluster of one node."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 2, "object_store_memory": 100_000_000, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    yield cluster.address
    cluster.shutdown()


def test_actors_begin_anew_with_other_settings_and_then_do_only_what_is_missing(
    address: str, tmp_path: Path, tiny_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = explained(tmp_path, tiny_models["distilbert"])
    evaluate_here(str(run), ALL)
    config = replace(ALL, replace="delete", address=address, actors="1")
    whole = measure_faithfulness(str(run), config)
    before = files(run)
    assert (whole.computed, whole.rows, sorted(before)) == (3, 6, [f"chunk-0000{i}.parquet" for i in range(3)])
    found = pa.concat_tables(iter_curves(RunStore(str(run)), config))
    assert sorted(found.column("id").to_pylist()) == sorted(4 * [f"r{i}" for i in range(7) if i != 5])
    (run / "evaluation" / "chunk-00001.parquet").unlink()
    assert measure_faithfulness(str(run), config).computed == 1
    assert files(run) == before
