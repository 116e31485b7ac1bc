"""What holds here holds elsewhere: the numerical tests on other machines, emulated."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.machines import OTHERS, ROOT, environment

NUMERICAL = (
    "tests/explain/test_conformance.py",
    "tests/explain/test_adaptive.py",
    "tests/explain/test_precision.py",
    "tests/explain/test_real_reviews.py",
    "tests/models/test_network.py",
    "tests/insight/test_notebook.py",
    "tests/run/test_worker.py",
)


@pytest.mark.heavy
@pytest.mark.parametrize("machine", OTHERS)
def test_the_numerical_tests_pass_on_another_machine(machine: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *NUMERICAL],
        cwd=ROOT, env=environment(machine), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
