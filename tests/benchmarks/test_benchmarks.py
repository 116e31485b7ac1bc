"""The benchmark's own arithmetic; nothing here is timed."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ig_worker.explain.calibration import Calibration
from ig_worker.explain.explanation import ENDS, relative_l1
from ig_worker.explain.problems import Problem
from ig_worker.explain.product import FEWEST
from ig_worker.models.inputs import ModelInput
from jobs import finetune
from tests.benchmarks import accuracy, aggregate, minilm, ours, report, speed
from tests.benchmarks.arithmetic import Sizes, per_review, pruned, unpruned
from tests.benchmarks.compare import Setting, errors
from tests.benchmarks.hindsight import Enough, enough_nodes, look_back
from tests.benchmarks.peers import Ours
from tests.benchmarks.process import Child, ChildError
from tests.benchmarks.replay import extrapolate, in_precision
from tests.benchmarks.savings import SAVINGS
from tests.benchmarks.workload import IMDB_LENGTHS, load_documents, quantiles, save_documents

BASE = Sizes(blocks=6, hidden=768, heads=12, intermediate=3072)


def test_the_unpruned_count_is_that_of_the_literature() -> None:
    # Two operations a parameter and token, for the 12 H² parameters of a block, besides attention's 4T²H.
    T, H = 256, 768
    expected = 6 * (2 * T * 12 * H * H + 4 * T * T * H)
    assert unpruned(BASE, T).forward == pytest.approx(expected, rel=1e-3)


def test_pruning_leaves_out_the_first_projections_and_nearly_all_of_the_last_block() -> None:
    T, H = 256, 768
    left_out = unpruned(BASE, T).forward - pruned(BASE, T).forward
    block = 2 * T * 12 * H * H + 4 * T * T * H
    assert left_out == pytest.approx(block + per_review(BASE, T) / 2, rel=0.02)


def test_quantiles_cover_the_distribution_evenly() -> None:
    assert [[30, 10, 20, 40][i] for i in quantiles([30, 10, 20, 40], 2)] == [20, 40]
    assert np.mean([IMDB_LENGTHS[i] for i in quantiles(IMDB_LENGTHS, 4)]) == pytest.approx(187.9, rel=0.05)


def test_documents_come_back_as_they_were_saved(tmp_path: Path) -> None:
    ids = [np.arange(n, dtype=np.int32) for n in (3, 5)]
    save_documents(tmp_path / "problems.npz", [Problem(ModelInput.single(x), x * 2) for x in ids])
    found = load_documents(tmp_path / "problems.npz")
    assert [list(problem.baseline) for problem in found] == [[0, 2, 4], [0, 2, 4, 6, 8]]


def test_documents_are_made_in_a_process_of_their_own(tiny_models, tmp_path: Path) -> None:
    path, lengths = speed.make_documents(alone(tmp_path), str(tiny_models["distilbert"]), 3)
    assert [problem.tokens for problem in load_documents(path)] == lengths


def test_a_child_that_cannot_be_made_leaves_no_process() -> None:
    with pytest.raises(ChildError, match="no_such_package"):  # a process or a pipe that is left is an error here
        Child("no_such_package:Peer", threads=1)


def alone(out: Path, reviews: str | None = None) -> Setting:
    """One thread, and nothing is said."""
    return Setting(threads=1, rounds=1, out=out, packages=None, reviews=reviews, say=no_word)


@pytest.mark.parametrize("saving", sorted(set(SAVINGS) - {"weights"}))  # that one changes the whole process
@pytest.mark.parametrize("architecture", ["distilbert", "bert"])
def test_a_saving_that_is_taken_away_changes_no_number(tiny_models, architecture: str, saving: str) -> None:
    from ig_worker.explain.fused import FusedEngine
    from ig_worker.explain.rules import fixed_rule
    from ig_worker.models.classifier import load_classifier
    from ig_worker.models.files import find_model
    from tests.benchmarks.savings import take_away

    classifier = load_classifier(find_model(str(tiny_models[architecture])))
    ids = np.array([2, 9, 12, 20, 3], np.int32)
    problem = Problem(ModelInput.single(ids), np.zeros_like(ids))
    rule = fixed_rule("gausslegendre", 4)
    (ours,) = FusedEngine(classifier.split("embeddings"), rule).explain([problem])
    (other,) = FusedEngine(take_away(classifier, [saving]), rule).explain([problem])
    assert relative_l1(other.attributions, ours.attributions) <= 1e-4


def test_products_are_rewritten_to_a_precision_and_nothing_else_is() -> None:
    product = (
        "    %3 = stablehlo.dot_general %1, %arg2, contracting_dims = [1] x [1], precision = [HIGHEST, HIGHEST]"
        " : (tensor<4x8xf32>, tensor<2x8xf32>) -> tensor<4x2xf32>\n"
    )
    other = "    %4 = stablehlo.add %3, %3 : tensor<4x2xf32>\n"
    assert in_precision(product + other, "float32") == product + other
    assert "precision = [DEFAULT, DEFAULT]" in in_precision(product, "tf32")
    rounded = in_precision(product + other, "bfloat16")
    assert "(tensor<4x8xbf16>, tensor<2x8xbf16>) -> tensor<4x2xf32>" in rounded
    assert rounded.endswith(other)


def test_extrapolation_interpolates_between_measured_lengths() -> None:
    assert extrapolate({64: 1.0, 128: 3.0}, [96, 90, 128], reviews=3) == pytest.approx(2 + 2 + 3)
    assert extrapolate({64: 1.0}, [32], reviews=1) == pytest.approx(0.5)


def test_a_result_becomes_a_markdown_table_without_empty_columns() -> None:
    machine = {"cpu": "a CPU", "date": "2026-01-01", "versions": {"numpy": "1.26.4", "torch": None}}
    text = report.markdown({"machine": machine, "threads": 2, "rounds": 3, "tables": {"a network": [row("ours")]}})
    assert "| ours | 2 | 51.0 | 9.8 | 1024 | 90% | 1.00 |" in text
    assert "median" not in text
    assert "best fixed" not in text


def falling(n: int, members: Sequence[int]) -> list[float]:
    """Errors of reviews 0, 1, ... that are within 1 from 5, 6, ... nodes on."""
    return [1.0 if n >= 5 + i else 2.0 + i for i in members]


def test_in_hindsight_each_review_has_its_own_number_of_nodes_and_all_have_one() -> None:
    back = look_back(falling, 4, 1.0)
    assert (back.fewest.tolist(), back.always) == ([5, 6, 7, 8], 8)
    assert (back.errors <= 1).all()
    assert (back.always_errors <= 1).all()


def test_a_review_that_is_never_within_the_tolerance_counts_with_the_most_nodes() -> None:
    back = look_back(falling, 4, 1.0, most=7)
    assert (back.fewest.tolist(), back.always) == ([5, 6, 7, 7], 7)
    assert back.errors.tolist() == [1, 1, 1, 5]


def test_one_review_in_a_hundred_may_be_beyond_the_tolerance() -> None:
    odd = [0.0] * 99 + [9.0]
    assert look_back(lambda _, members: [odd[i] for i in members], 100, 1.0, most=9).always == 4
    assert enough_nodes(lambda _, members: [odd[i] for i in members], 100, [4, 5], 1.0, say=no_word) == Enough(
        4, 1, 100
    )


def test_a_number_of_nodes_is_given_up_at_the_reviews_that_were_furthest_off() -> None:
    asked: list[tuple[int, int]] = []

    def errors_at(n: int, members: Sequence[int]) -> list[float]:
        asked.append((n, len(members)))
        return [2.0 if i == 29 and n < 9 else 0.5 for i in members]

    assert enough_nodes(errors_at, 30, [5, 7, 9], 1.0, say=no_word) == Enough(9, 0, 30)
    assert [sum(count for n, count in asked if n == tried) for tried in (5, 7, 9)] == [30, 2, 30]


def test_where_no_number_of_nodes_does_the_largest_is_tried_on_all_reviews() -> None:
    assert enough_nodes(falling, 30, [5, 10], 1.0, say=no_word) == Enough(10, 24, 30)


def no_word(_: str) -> None:
    """For what reports progress."""


@pytest.fixture(scope="module")
def documents(tiny_models, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of four short problems for the tiny networks."""
    random, path = np.random.default_rng(5), tmp_path_factory.mktemp("documents") / "four.npz"
    ids = [np.array([2, *random.integers(5, 20, n), 3], np.int32) for n in (3, 6, 9, 12)]
    save_documents(path, [Problem(ModelInput.single(x), np.where(x < 5, x, 0)) for x in ids])
    return path


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever would have a process and its threads to itself shares this one."""
    monkeypatch.setattr("ig_worker.models.runtime.configure", lambda _: None)


@pytest.mark.usefixtures("in_this_process")
def test_the_scout_finds_the_fewest_nodes_that_do_and_what_a_pilot_says(tiny_models, documents, tmp_path) -> None:
    model, reference, other = str(tiny_models["bert"]), tmp_path / "exact.npz", tmp_path / "other.npz"
    exact = Ours(1, str(documents), model, engine="refined")
    exact.round()
    exact.attributions(str(reference))
    scout = ours.Scout(1, model, str(documents), tolerance=0.01)
    run = scout.pilot(str(documents))
    assert run["rows"] == 4
    assert run["evaluations"] > 4 * 30
    scout.refine()
    for kind, found in (("fixed", scout.gauss()), ("product", scout.product(run["calibration"]))):
        worst = []
        for nodes in (found["nodes"] - 1, found["nodes"]):
            peer = Ours(1, str(documents), model, engine=kind, nodes=nodes, calibration=run["calibration"])
            assert peer.round()["evaluations"] == nodes + (1 if kind == "fixed" else ENDS)
            peer.attributions(str(other))
            worst.append(errors(other, reference).max())
        assert worst[1] <= 0.01
        assert worst[0] > 0.01 or found["nodes"] in (FEWEST, ours.LADDER[0])


def test_a_race_takes_the_largest_pilot_of_an_earlier_measurement(tmp_path: Path) -> None:
    known = Calibration(rows=154).to_json()
    records = [
        {"tolerance": 0.005, "pilot": 12, "pilot spent": 500.0, "calibration": Calibration(rows=12).to_json()},
        {"tolerance": 0.005, "pilot": 154, "pilot spent": 5500.0, "calibration": known},
        {"tolerance": 0.01, "pilot": 400, "pilot spent": 9000.0, "calibration": known},
        {"tolerance": 0.005, "fewest for each": 12.0, "always so many": 18.0},
    ]
    file = tmp_path / "pilot.json"
    file.write_text(json.dumps({"model": "minilm", "records": records}))
    run = ours.read_pilot(file, "/models/minilm", 0.005)
    assert run == {"calibration": known, "rows": 154, "evaluations": 5500.0}
    with pytest.raises(ValueError, match="no pilot of other"):
        ours.read_pilot(file, "/models/other", 0.005)


def test_what_was_found_is_kept_for_the_next_race_of_the_same(tiny_models, documents, tmp_path: Path) -> None:
    model, said = str(tiny_models["distilbert"]), []
    setting = replace(alone(tmp_path), say=said.append)
    first, second = (ours.find_out(setting, model, None, str(documents), 0.01) for _ in range(2))
    assert first == second
    assert first.pilot is not None
    assert [("taken from" in text) for text in said] == [True]


@pytest.mark.usefixtures("in_this_process")
def test_ours_adaptive_has_what_the_pilot_said(tiny_models, documents) -> None:
    model = str(tiny_models["distilbert"])
    # exp(3 − n/2) is within the tolerance of 0.005 from 17 nodes on.
    known = Calibration(level=(3.0, 0.0, 0.0, 0.0, -0.5), rows=9).to_json()
    plain, calibrated = (
        Ours(1, str(documents), model, engine="adaptive", calibration=one).round()["evaluations"]
        for one in (None, known)
    )
    assert calibrated == 17 + ENDS
    assert plain != 18


def row(name: str, note: str = "", **more: object) -> dict[str, object]:
    """A record of a race, in which each row is four times as fast as every other."""
    return {
        "name": name, "note": note, "reviews_per_s": 2.0, "evaluations": 51.0, "ms_per_evaluation": 9.8,
        "peak_memory": 2**30, "share_of_matrix_rate": 0.9,
        "faster_than": {other: 4.0 for other in ("alibi", "ours, gausslegendre 23", "ours, adaptive") if other != name},
        **more,
    }  # fmt: skip


def test_a_table_tells_the_ratio_to_the_best_fixed_rule_and_what_the_pilot_cost() -> None:
    pilot = {"rows": 154, "evaluations": 5123.4, "seconds": 99.6, "calibration": {"certified": 0.01}}
    rows = [row("alibi"), row("ours, gausslegendre 23", "best fixed, in hindsight"), row("ours, adaptive", pilot=pilot)]
    machine = {"cpu": "a CPU", "date": "2026-01-01", "versions": {}}
    text = report.markdown({"machine": machine, "threads": 2, "rounds": 3, "tables": {"a network": rows}})
    assert "times the first row | times the best fixed rule |" in text
    assert "| ours, gausslegendre 23 (best fixed, in hindsight) | 2 | 51.0 | 9.8 | 1024 | 90% | 4.00 | 1.00 |" in text
    assert "| ours, adaptive | 2 | 51.0 | 9.8 | 1024 | 90% | 4.00 | 4.00 |" in text
    assert "a pilot of 154 other reviews (certified), once for a run: 5,123 evaluations, 100 s." in text


def test_where_fifty_nodes_are_too_few_the_row_says_so_and_is_there_once() -> None:
    found = ours.Findings(gauss=Enough(50, 3, 64))
    rows = ours.contestants("model", "documents", 1, {}, found)
    assert [(one.name, one.note) for one in rows] == [
        ("ours, gausslegendre 50", "best fixed, too few for 3 of 64 reviews"),
        ("ours, adaptive", ""),
    ]


def test_minilm_is_trained_once_and_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(minilm.LackingError, match="make bench"):
        minilm.fine_tuned(tmp_path, tmp_path, tmp_path, say=no_word)
    encoder = tmp_path / minilm.ENCODER
    encoder.mkdir(parents=True)
    (encoder / "config.json").write_text("{}")
    with pytest.raises(minilm.LackingError, match="by --reviews"):
        minilm.fine_tuned(tmp_path, tmp_path, tmp_path, say=no_word)
    (tmp_path / "minilm").mkdir()
    (tmp_path / "minilm" / "config.json").write_text("{}")
    assert minilm.fine_tuned(None, tmp_path, tmp_path, say=no_word) == tmp_path / "minilm"


def test_minilm_is_trained_by_flags_that_the_job_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = minilm.command(tmp_path / "encoder", tmp_path / "imdb.npz", tmp_path / "out")[3:]
    assert finetune.main(flags) == 1  # the job knows the flags, and finds no reviews there
    assert str(tmp_path / "imdb.npz") in capsys.readouterr().err
    assert int(flags[flags.index("--steps") + 1]) * int(flags[flags.index("--batch-rows") + 1]) == minilm.ROWS


def test_a_pilot_that_would_share_reviews_with_the_study_is_noticed() -> None:
    def shared(offset: int, rows: int) -> bool:
        return accuracy.overlap(Namespace(offset=5000, rows=500, pilot_offset=offset, pilot=rows))

    assert [shared(4000, 1000), shared(5499, 10), shared(4999, 2), shared(5500, 10), shared(5100, 0)] == [
        False, True, True, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize("more", [[], ["--findings"]], ids=["tables", "findings"])
def test_a_made_up_run_is_aggregated_and_looked_through(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = aggregate.main(["--rows", "300", "--tokens", "20", "--chunk-rows", "100", *more])
    assert json.loads(capsys.readouterr().out) == found
    if more:  # 15% of the labels are others than the predictions, whatever the words
        assert all(subject.startswith("labelled") for subject in found["findings"])
    else:
        assert found["rows"]["tokens"] > 300
