"""What bfloat16 matrix products cost the attributions of real reviews, against float32 at the same rule.

python -m tests.benchmarks.precision --reviews DIR --model DIR
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.benchmarks.accuracy import read_documents
from tests.benchmarks.workload import REVIEWS_FILE

N_STEPS = 50


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("tests.benchmarks.precision", description=__doc__.split("\n")[0])
    parser.add_argument("--reviews", type=Path, required=True, help=f"directory with {REVIEWS_FILE}")
    parser.add_argument("--model", type=Path, required=True, help="a trained network")
    parser.add_argument("--rows", type=int, default=200, help="reviews of the test split, %(default)s by default")
    parser.add_argument("--offset", type=int, default=5000, help="reviews before them, %(default)s by default")
    options = parser.parse_args(argv)

    from ig_worker.explain.explanation import relative_l1
    from ig_worker.explain.fused import FusedEngine
    from ig_worker.explain.rules import fixed_rule
    from ig_worker.models.classifier import load_classifier
    from ig_worker.models.files import find_model

    classifier = load_classifier(find_model(str(options.model)))
    documents = read_documents(classifier.tokenizer, options)
    exact, rounded = (
        FusedEngine(classifier.split("embeddings", precision), fixed_rule("gausslegendre", N_STEPS)).explain(documents)
        for precision in ("float32", "bfloat16")
    )
    pairs = list(zip(rounded, exact, strict=True))
    errors = [relative_l1(a.attributions, b.attributions) for a, b in pairs]
    median, p90, p99 = np.quantile(errors, [0.5, 0.9, 0.99])
    flipped = sum(a.prediction != b.prediction for a, b in pairs)
    print(
        f"{len(errors)} reviews: relative L1 median {median:.1e}, p90 {p90:.1e}, p99 {p99:.1e}, max {max(errors):.1e}"
    )
    print(f"{flipped} predictions differ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
