"""Explains every row of a data set; run it again to resume.

Examples:
    python -m jobs.explain --dataset reviews.csv --model my-model --run runs/first
    python -m jobs.explain --preset sst2-2022 --run runs/sst2 --limit 100
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from ig_worker.run import logs
from ig_worker.run.config import ExplainConfig
from ig_worker.run.steps.explain import explain_run
from ig_worker.run.store.filesystem import Storage
from jobs import _cli, _settings


def main(argv: Sequence[str] | None = None) -> int:
    made = _cli.parser("jobs.explain", __doc__)
    _settings.add_settings(made, ExplainConfig)
    _cli.add_run(made)
    return _cli.run(_explain, made, argv)


def _explain(arguments: argparse.Namespace) -> int:
    config = _settings.read_settings(arguments, ExplainConfig)
    result = explain_run(arguments.run, config, _cli.deadline(arguments, config.deadline))
    print("\n".join(result.lines()))
    storage = Storage(arguments.run)
    if result.quarantined:
        print(f"quarantined rows, each with its reason: {storage.describe('quarantine')}")
    print(f"attributions: {storage.describe('attributions')}")
    if result.fault:
        logs.tell(result.fault, logging.ERROR)
    return result.exit_code


if __name__ == "__main__":
    sys.exit(main())
