"""What a pilot's promise is worth: evaluations and true errors of real reviews that were in no pilot.

python -m tests.benchmarks.pilot --reviews DIR --model DIR --pilot 0 --pilot 12 --pilot 160 --hindsight 60
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ig_worker.explain.calibration import CAUTIOUS, Calibration
from ig_worker.explain.explanation import ENDS
from ig_worker.explain.packing import BatchShape
from ig_worker.explain.problems import Problem
from ig_worker.explain.product import Spread
from tests.benchmarks.accuracy import read_documents
from tests.benchmarks.hindsight import Arrays, by_nodes, calibrate, in_pieces, look_back, product_errors
from tests.benchmarks.machine import describe
from tests.benchmarks.workload import REVIEWS_FILE

SHAPE = BatchShape()
PILOT = "pilot"


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)

    from ig_worker.explain.adaptive import AdaptiveEngine
    from ig_worker.models.classifier import load_classifier
    from ig_worker.models.files import find_model
    from tests.benchmarks.spent import Account

    classifier = load_classifier(find_model(str(options.model)))
    cases = read_documents(classifier.tokenizer, options)
    sizes, tolerances = options.pilot or [0], options.tolerance or [0.005]
    others = argparse.Namespace(reviews=options.reviews, rows=max(1, *sizes), offset=options.pilot_offset)
    pilots = read_documents(classifier.tokenizer, others)
    network = classifier.split("embeddings")
    programs = Account(network, SHAPE)
    truth = _kept_truth(programs, cases, options)
    records, known = [], CAUTIOUS
    for tolerance in tolerances:
        for size in sizes:
            known, spent = calibrate(network, programs, pilots[:size], tolerance, SHAPE)
            engine = AdaptiveEngine(network, tolerance, programs=programs, calibration=known)
            found = _measure(engine, cases, known, tolerance, truth)
            records.append({**found, PILOT: size, "pilot spent": spent})
            print(line(records[-1]), flush=True)
        if options.hindsight:
            count = min(options.hindsight, len(cases))
            errors = product_errors(programs, cases[:count], truth[:count], known.spread, SHAPE, "hindsight")
            back = look_back(errors, count, tolerance)
            # Evaluations, both ends included.
            found = {"fewest for each": float(back.fewest.mean()) + ENDS, "always so many": back.always + ENDS}
            records.append({"tolerance": tolerance, **found})
            print(f"hindsight of {count}, tolerance {tolerance:g}: {found}", flush=True)
    if options.json:
        content = {"machine": describe(), "model": options.model.name, "offset": options.offset, "records": records}
        options.json.write_text(json.dumps(content, indent=1) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("tests.benchmarks.pilot", description=__doc__.split("\n")[0])
    parser.add_argument("--reviews", type=Path, required=True, help=f"directory with {REVIEWS_FILE}")
    parser.add_argument("--model", type=Path, required=True, help="a trained network")
    parser.add_argument("--rows", type=int, default=300, help="reviews of the test split, %(default)s by default")
    parser.add_argument("--offset", type=int, default=9000, help="reviews before them, %(default)s by default")
    parser.add_argument("--pilot", type=int, action="append", help="rows of a pilot, from --pilot-offset on; again")
    parser.add_argument("--pilot-offset", type=int, default=8000, help="reviews before the pilots', %(default)s")
    parser.add_argument("--tolerance", type=float, action="append", help="0.005 by default; again")
    parser.add_argument("--reference", type=int, default=30, help="nodes of the truth, %(default)s by default")
    parser.add_argument("--truth", type=Path, help="file that keeps the truth for the next call")
    parser.add_argument("--hindsight", type=int, default=0, help="so many reviews are tried with each number of nodes")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    return parser


def _measure(engine: Any, cases: list[Problem], known: Calibration, tolerance: float, truth: Arrays) -> dict[str, Any]:
    """What a calibration makes of reviews."""
    from ig_worker.explain.explanation import relative_l1

    engine.programs.spent.clear()
    found = in_pieces(f"tolerance {tolerance:g}, pilot of {known.rows}", cases, engine.explain)
    spent = {kind: count / len(cases) for kind, count in engine.programs.spent.items()}
    errors = np.array([relative_l1(a.attributions, b) for a, b in zip(found, truth, strict=True)])
    bounds, counts = np.array([a.error_estimate for a in found]), np.array([a.evaluations for a in found])
    return {
        "tolerance": tolerance,
        "rows": len(cases),
        "certified": known.certified,
        "evaluations": float(counts.mean()),
        "evaluations, p90 and max": [float(np.quantile(counts, 0.9)), float(counts.max())],
        "spent": spent,
        "error, median, p90, p99": [float(e) for e in np.quantile(errors, [0.5, 0.9, 0.99])],
        "beyond": int((errors > tolerance).sum()),
        "bound below error": int((bounds < errors).sum()),
        "bound/error": float(np.median(bounds / errors)),
        "calibration": asdict(known),
    }


def _kept_truth(programs: Any, cases: list[Problem], options: argparse.Namespace) -> Arrays:
    """One rule of many nodes for all, by the usual map; from a file where an earlier call has left it."""
    lengths = np.cumsum([case.tokens for case in cases])[:-1]
    key = [str(options.model), options.rows, options.offset, options.reference]
    if options.truth and options.truth.exists():
        with np.load(options.truth) as kept:
            if json.loads(str(kept["key"])) == key:
                return np.split(kept["values"], lengths)
    found = by_nodes(programs, cases, options.reference, Spread(), SHAPE, "truth")
    if options.truth:
        np.savez(options.truth, key=json.dumps(key), values=np.concatenate(found))
    return found


def line(record: dict[str, Any]) -> str:
    """A record of `_measure`, for people."""
    median, p90, p99 = record["error, median, p90, p99"]
    many, most = record["evaluations, p90 and max"]
    spent = ", ".join(f"{kind} {count:.2f}" for kind, count in sorted(record["spent"].items()))
    return (
        f"tolerance {record['tolerance']:g}, pilot {record[PILOT]:3d} rows, {record['pilot spent']:6.0f} evaluations, "
        f"certified {record['certified']}: evaluations a review {record['evaluations']:.2f} (p90 {many:.0f}, max "
        f"{most:.0f}; {spent}); error {median:.1e}, {p90:.1e}, {p99:.1e}; beyond: {record['beyond']} of "
        f"{record['rows']}; bound below error: {record['bound below error']}; "
        f"bound/error, median {record['bound/error']:.1f}"
    )


if __name__ == "__main__":
    sys.exit(main())
