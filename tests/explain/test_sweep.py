"""The evaluation batch is measured once and remembered."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.explain.engines import load


def choose(times: dict[int, float | Exception]) -> tuple[int, list[int]]:
    from ig_worker.explain import sweep

    tried = []

    def seconds(tokens: int) -> float:
        tried.append(tokens)
        if isinstance(times[tokens], Exception):
            raise times[tokens]
        return times[tokens]

    return sweep.choose(tuple(times), seconds), tried


@pytest.mark.parametrize(
    ("times", "chosen", "tried"),
    [
        ({1: 4.0, 2: 2.0, 4: 1.0}, 4, 3),
        ({1: 4.0, 2: 3.99, 4: 3.98}, 1, 3),  # a larger batch has to be clearly faster
        ({1: 4.0, 2: 2.0, 4: 9.0, 8: 1.0}, 2, 3),  # getting slower ends the sweep
        ({1: 4.0, 2: 2.0, 4: MemoryError(), 8: 1.0}, 2, 3),  # so does the end of memory
    ],
)
def test_the_smallest_batch_that_no_larger_one_beats_is_chosen(times, chosen: int, tried: int) -> None:
    found, sizes = choose(times)
    assert (found, len(sizes)) == (chosen, tried)


def test_another_error_is_not_taken_for_a_lack_of_memory() -> None:
    with pytest.raises(ValueError, match="bug"):
        choose({1: 1.0, 2: ValueError("bug")})


def test_the_measured_batch_is_remembered_by_device_and_network(tiny_models, tmp_path: Path, monkeypatch) -> None:
    from ig_worker.explain import sweep

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    classifier = load(tiny_models["bert"])
    network, shape = classifier.split("embeddings"), classifier.shape
    first = sweep.suitable_batch(network, shape, "cpu", 16, "float32")
    assert first in sweep.CPU_CANDIDATES

    def fail(*arguments: object) -> float:
        raise AssertionError("measured again")

    monkeypatch.setattr(sweep, "_seconds", fail)
    assert sweep.suitable_batch(network, shape, "cpu", 16, "float32") == first
    with pytest.raises(AssertionError, match="measured again"):
        sweep.suitable_batch(network, shape, "Some GPU", 16, "float32", rows=10_000)
    assert sweep.suitable_batch(network, shape, "Some GPU", 16, "float32", rows=10) == sweep.GPU_GUESS
    assert sweep.suitable_batch(network, shape, "cpu", 16, "float32", rows=10) == first  # which is remembered


@pytest.mark.parametrize(("rows", "worth"), [(1, False), (119, False), (120, True), (25_000, True)])
def test_measuring_costs_at_most_a_tenth_of_a_run(rows: int, worth: bool) -> None:
    from ig_worker.explain import sweep

    assert sweep.worth_measuring(rows) is worth


def test_a_guess_is_one_of_what_would_be_tried() -> None:
    from ig_worker.explain import sweep

    assert sweep.guess("cpu") in sweep.CPU_CANDIDATES
    assert sweep.guess("Some GPU") in sweep.GPU_CANDIDATES


def test_a_damaged_memory_is_measured_anew(tiny_models, tmp_path: Path, monkeypatch) -> None:
    from ig_worker.explain import sweep

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "ig_worker").mkdir()
    (tmp_path / "ig_worker" / "batch_tokens.json").write_text("[")
    monkeypatch.setattr(sweep, "_seconds", lambda *arguments: 1.0)
    classifier = load(tiny_models["bert"])
    found = sweep.suitable_batch(classifier.split("embeddings"), classifier.shape, "cpu", 16, "float32")
    assert found == sweep.CPU_CANDIDATES[0]
