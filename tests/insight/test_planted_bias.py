"""A bias that is planted in training is found, by the tables and by the comparison with the clean network."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.planted import TRIGGER, main_of


@pytest.mark.heavy
def test_a_trigger_word_leads_its_class_and_what_has_changed(tmp_path: Path) -> None:
    found = main_of("demo", tmp_path, train=None, test=None)
    assert found["biased"]["rank"] == 1
    assert found["clean"]["rank"] is None or found["clean"]["rank"] > 20
    assert found["biased"]["occurrences"] == found["clean"]["occurrences"] > 100
    assert found["drifted_words"][0][0] == TRIGGER
    assert found["drifted_words"][0][2] < 1e-6
