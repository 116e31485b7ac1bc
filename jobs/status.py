"""Shows how far a run is; needs neither Ray nor TensorFlow.

Examples:
    python -m jobs.status runs/first
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ig_worker.run.steps.status import read_status
from ig_worker.run.store.run_store import RunStore
from jobs import _cli


def main(argv: Sequence[str] | None = None) -> int:
    made = _cli.parser("jobs.status", __doc__)
    made.add_argument("run", metavar="RUN", help="directory or URI of the run")
    return _cli.run(_status, made, argv)


def _status(arguments: argparse.Namespace) -> int:
    print("\n".join(read_status(RunStore(arguments.run)).lines()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
