"""Says what a run would do, on what, and for how long.

It reads the data set and loads the model, starts no Ray, and writes nothing. jobs.explain says the same when it begins
a run, but for what only the network can tell.

Examples:
    python -m jobs.check --dataset reviews.csv --model my-model
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ig_worker.run.config import ExplainConfig
from ig_worker.run.steps.explain import check_input
from jobs import _cli, _settings


def main(argv: Sequence[str] | None = None) -> int:
    made = _cli.parser("jobs.check", __doc__)
    _settings.add_settings(made, ExplainConfig)
    return _cli.run(_check, made, argv)


def _check(arguments: argparse.Namespace) -> int:
    config = _settings.read_settings(arguments, ExplainConfig)
    print("\n".join(check_input(config).lines()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
