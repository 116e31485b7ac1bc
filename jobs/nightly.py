"""Does a whole night, with an exit code that an alert can use.

In this order: explain, verify, aggregate, evaluate, compare, report.

Examples:
    python -m jobs.nightly jobs/nightly.toml
    python -m jobs.nightly jobs/nightly.toml --deadline 28800
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ig_worker.errors import UsageError, did_you_mean
from ig_worker.insight.night.run import run_night
from ig_worker.insight.night.settings import NightConfig
from ig_worker.insight.thresholds import Thresholds
from ig_worker.run.config import ExplainConfig
from ig_worker.run.later_config import EvaluateConfig, actors_of
from jobs import _cli, _settings

TABLES = ("night", "thresholds", "explain", "evaluate")


def main(argv: Sequence[str] | None = None) -> int:
    made = _cli.parser("jobs.nightly", __doc__)
    made.add_argument("config", metavar="CONFIG.toml", help="jobs/nightly.toml is a documented example")
    late = "end cleanly after this, with exit code 4"
    made.flag("deadline", late, type=float, metavar="SECONDS", shown="the file's")
    made.flag("address", "Ray cluster", shown="the file's")
    return _cli.run(_nightly, made, argv)


def _nightly(arguments: argparse.Namespace) -> int:
    path = arguments.config
    tables = _settings.read_toml(Path(path))
    for name, table in tables.items():
        if name not in TABLES or not isinstance(table, dict):
            raise UsageError(
                f"{path} has {name!r}",
                expected=f"tables among {', '.join(f'[{table}]' for table in TABLES)}",
                remedy=did_you_mean(name, TABLES),
            )
    over: dict[str, Any] = {"deadline": arguments.deadline} if arguments.deadline else {}
    night = _settings.make_settings(NightConfig, tables.get("night", {}), f"{path}, [night],", **over)
    explain_table = dict(tables.get("explain", {}))
    preset = explain_table.pop("preset", None)
    over = {"address": arguments.address} if arguments.address else {}
    explain = _settings.make_settings(ExplainConfig, explain_table, f"{path}, [explain],", preset, **over)
    limits = _settings.make_settings(Thresholds, tables.get("thresholds", {}), f"{path}, [thresholds],")
    evaluate_table = actors_of(explain) | tables.get("evaluate", {})
    evaluate = _settings.make_settings(EvaluateConfig, evaluate_table, f"{path}, [evaluate],")
    deadline = _cli.deadline(arguments, night.deadline)
    found = run_night(night, explain, limits, evaluate=evaluate, deadline=deadline)
    print(found.text(), flush=True)
    return found.exit_code


if __name__ == "__main__":
    sys.exit(main())
