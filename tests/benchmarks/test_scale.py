"""The simulation's own arithmetic and stand-ins; nothing here is timed."""

from __future__ import annotations

import pytest

from tests.benchmarks.scale_files import Files
from tests.benchmarks.scale_report import REVIEWS, paper

MEASURED = {
    "dispatch": [{"chunks": 1000, "peak_memory": 100e6}, {"chunks": 11_000, "peak_memory": 105e6}],
    "files": [{"chunks": 1000, "peak_memory": 100e6}, {"chunks": 11_000, "peak_memory": 105e6}],
    "object_store": [{}, {"chunks": 1000, "list": 0.1, "footers": 2.0}],
    "prepare": {"rows_per_s": 10_000.0},
    "seen": {"bytes_per_row": 20.0},
}


def test_a_billion_reviews_are_counted_from_what_was_measured() -> None:
    found = paper(MEASURED, runs=10, chunk_rows=1000)
    assert found["chunks"] == REVIEWS / 10 / 1000 == 100_000
    assert found["needed_per_s"] == 100
    assert found["list_s"] == pytest.approx(10)
    assert found["footers_s"] == pytest.approx(200)
    assert found["memory"] == pytest.approx(100e6 + 1000 * 100_000)
    assert found["memory_preparing"] == pytest.approx(100e6 + 2e9)
    assert found["preparing_s"] == 10_000
    assert found["requests"] == pytest.approx(10 * (8 * 100_000 + 300))
    assert found["dollars"] == pytest.approx(10 * (200_300 * 5e-6 + 600_000 * 4e-7))


def test_the_footers_of_an_object_store_take_two_requests_each() -> None:
    assert Files(1).object_store(12, readers=4)["requests_per_footer"] == 2


def test_results_that_were_made_up_read_as_a_complete_run() -> None:
    assert Files(1).local(120, status=True)["chunks"] == 120
