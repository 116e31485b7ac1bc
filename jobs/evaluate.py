"""Measures how faithful a run's attributions are.

What does the network do without the tokens that they rank first? Run it again to resume.

Examples:
    python -m jobs.evaluate runs/first
    python -m jobs.evaluate runs/first --share 0.2 --replace delete
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ig_worker.insight.tables.faithfulness import faithfulness_lines, table_lines, write_faithfulness
from ig_worker.run.later_config import EvaluateConfig
from ig_worker.run.steps.evaluate import measure_faithfulness
from ig_worker.run.store.run_store import RunStore
from jobs import _cli, _settings


def main(argv: Sequence[str] | None = None) -> int:
    made = _cli.parser("jobs.evaluate", __doc__)
    made.add_argument("run", metavar="RUN", help="directory or URI of the run")
    _settings.add_settings(made, EvaluateConfig)
    return _cli.run(_evaluate, made, argv)


def _evaluate(arguments: argparse.Namespace) -> int:
    config = _settings.read_settings(arguments, EvaluateConfig)
    done = measure_faithfulness(arguments.run, config, _cli.deadline(arguments, config.deadline))
    store = RunStore(arguments.run)
    table = write_faithfulness(store, config)
    print("\n".join([*done.lines(), *table_lines(table), "", *faithfulness_lines(table)]))
    print(f"table: {store.storage.describe('aggregates/faithfulness.parquet')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
