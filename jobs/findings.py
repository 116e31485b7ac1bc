"""Says what to look at first: slices, shortcuts, labels, changes.

Examples:
    python -m jobs.findings runs/first
    python -m jobs.findings runs/first --check 1
    python -m jobs.findings runs/tuesday --since runs/monday
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ig_worker.errors import UsageError
from ig_worker.insight.findings.check import checked, told
from ig_worker.insight.findings.find import current_findings, find
from ig_worker.insight.findings.finding import KINDS, Finding
from ig_worker.run.later_config import ApplyConfig
from ig_worker.run.progress import meter
from ig_worker.run.store.run_store import RunStore
from jobs import _cli, _settings


def main(argv: Sequence[str] | None = None) -> int:
    made = _cli.parser("jobs.findings", __doc__)
    made.add_argument("run", metavar="RUN", help="directory or URI of the run")
    made.flag("check", "show the arithmetic and the texts of finding K", type=int, metavar="K")
    made.flag("texts", "texts that --check shows", type=int, default=20)
    made.flag("kind", "tell only findings of this kind", choices=KINDS)
    made.flag("since", "earlier run, for what has changed", metavar="RUN_A")
    _settings.add_settings(made, ApplyConfig)
    return _cli.run(_findings, made, argv)


def _findings(arguments: argparse.Namespace) -> int:
    store = RunStore(arguments.run)
    found = current_findings(store) if arguments.check is not None or arguments.kind else None
    if found is None or arguments.since:
        found = _found_anew(store, arguments)
    if arguments.check is not None:
        chosen = [one for one in found if one.number == arguments.check]
        if not chosen:
            raise UsageError(
                f"there is no finding {arguments.check}", expected=f"1 to {len(found)}" if found else "none"
            )
        print("\n".join(checked(store, chosen[0], arguments.texts)))
        return 0
    print("\n".join(told([one for one in found if arguments.kind in (None, one.kind)])))
    print(f"table: {store.storage.describe('aggregates/findings.parquet')}")
    return 0


def _found_anew(store: RunStore, arguments: argparse.Namespace) -> list[Finding]:
    config = _settings.read_settings(arguments, ApplyConfig)
    before = RunStore(arguments.since) if arguments.since else None
    with meter("looking for findings, chunks", None) as shown:
        return find(store, lambda done, total: shown.update(done, total=total), config, before=before)


if __name__ == "__main__":
    sys.exit(main())
