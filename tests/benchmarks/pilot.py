"""What a pilot's promise is worth: evaluations and true errors of real reviews that were in no pilot.

python -m tests.benchmarks.pilot --reviews DIR --model DIR --pilot 0 --pilot 12 --pilot 160
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ig_worker.explain.calibration import CAUTIOUS, Calibration
from ig_worker.explain.problems import Problem
from tests.benchmarks.accuracy import read_documents
from tests.benchmarks.workload import REVIEWS_FILE

RISK = 0.01
REFERENCE = 30  # nodes, by the default map: each text's own rule is checked against them


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("tests.benchmarks.pilot", description=__doc__.split("\n")[0])
    parser.add_argument("--reviews", type=Path, required=True, help=f"directory with {REVIEWS_FILE}")
    parser.add_argument("--model", type=Path, required=True, help="a trained network")
    parser.add_argument("--rows", type=int, default=300, help="reviews of the test split, %(default)s by default")
    parser.add_argument("--offset", type=int, default=9000, help="reviews before them, %(default)s by default")
    parser.add_argument("--pilot", type=int, action="append", help="rows of a pilot, from --pilot-offset on; again")
    parser.add_argument("--pilot-offset", type=int, default=8000, help="reviews before the pilots', %(default)s")
    parser.add_argument("--tolerance", type=float, default=0.005)
    options = parser.parse_args(argv)

    from ig_worker.explain.adaptive import AdaptiveEngine
    from ig_worker.models.classifier import load_classifier
    from ig_worker.models.files import find_model

    classifier = load_classifier(find_model(str(options.model)))
    network, cases = classifier.split("embeddings"), read_documents(classifier.tokenizer, options)
    sizes = options.pilot or [0]
    others = argparse.Namespace(reviews=options.reviews, rows=max(1, *sizes), offset=options.pilot_offset)
    rows = read_documents(classifier.tokenizer, others)
    engine = AdaptiveEngine(network, options.tolerance)
    truth = _truth(engine, network, cases)
    for size in sizes:
        known, spent = _calibrate(network, rows[:size], options.tolerance, engine)
        found = AdaptiveEngine(network, options.tolerance, programs=engine.programs, calibration=known).explain(cases)
        print(_line(size, spent, known, found, truth, options.tolerance), flush=True)
    return 0


def _calibrate(network: Any, rows: list[Problem], tolerance: float, engine: Any) -> tuple[Calibration, float]:
    from ig_worker.explain.packing import BatchShape
    from ig_worker.explain.pilot import PilotEngine

    if not rows:
        return CAUTIOUS, 0.0
    pilot = PilotEngine(network, tolerance, BatchShape(), RISK, programs=engine.programs)
    known, explained = pilot.calibrate(rows)
    return known, sum(one.evaluations for one in explained)


def _truth(engine: Any, network: Any, cases: list[Problem]) -> list[Any]:
    """One rule of many nodes for all."""
    from ig_worker.explain.adaptive import AdaptiveEngine

    fixed = replace(CAUTIOUS, level=(np.log(0.5) + REFERENCE - 0.5, 0.0, 0.0, -1.0), told=(-50.0, 0.0, 0.0, 0.0))
    return AdaptiveEngine(network, 0.5, 200, programs=engine.programs, calibration=fixed).explain(cases)


def _line(size: int, spent: float, known: Calibration, found: list[Any], truth: list[Any], tolerance: float) -> str:
    from ig_worker.explain.explanation import relative_l1

    errors = np.array([relative_l1(a.attributions, b.attributions) for a, b in zip(found, truth, strict=True)])
    bounds, counts = np.array([a.error_estimate for a in found]), np.array([a.evaluations for a in found])
    median, p90, p99 = np.quantile(errors, [0.5, 0.9, 0.99])
    return (
        f"pilot {size:3d} rows, {spent:6.0f} evaluations, certified {known.certified}: evaluations a review "
        f"{counts.mean():.2f} (p90 {np.quantile(counts, 0.9):.0f}, max {counts.max():.0f}); error {median:.1e}, "
        f"{p90:.1e}, {p99:.1e}; beyond {tolerance:g}: {(errors > tolerance).sum()} of {len(errors)}; "
        f"bound below error: {(bounds < errors).sum()}; bound/error, median {np.median(bounds / errors):.1f}"
    )


if __name__ == "__main__":
    sys.exit(main())
