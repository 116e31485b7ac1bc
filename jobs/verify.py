"""Checks every file and every row of a run; can repair it.

Examples:
    python -m jobs.verify runs/first --recompute 0.05
    python -m jobs.verify runs/first --repair
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext

from ig_worker.errors import EXIT_DAMAGED, EXIT_OK, EXIT_STOPPED, UsageError
from ig_worker.run.progress import meter
from ig_worker.run.steps.recompute import recompute
from ig_worker.run.steps.verify import repair, verify_run
from ig_worker.run.store.lease import Lease
from ig_worker.run.store.run_store import RunStore
from jobs import _cli


def main(argv: Sequence[str] | None = None) -> int:
    made = _cli.parser("jobs.verify", __doc__)
    made.add_argument("run", metavar="RUN", help="directory or URI of the run")
    repair_text = "remove damaged files, so that the same jobs.explain command makes them again"
    made.flag("repair", repair_text, action="store_true", shown="no")
    again = "explain this share of chunks again, compare, and check what the pilot promises"
    made.flag("recompute", again, type=float, default=0.0, metavar="SHARE")
    made.flag("model", "for --recompute, where the model is now", shown="where it was", metavar="MODEL")
    return _cli.run(_verify, made, argv)


def _verify(arguments: argparse.Namespace) -> int:
    if not 0 <= arguments.recompute <= 1:
        raise UsageError(f"--recompute is {arguments.recompute}", expected="a share from 0 to 1")
    store = RunStore(arguments.run)
    store.manifest.existing()  # before a lease is written where no run is
    # What is damaged is removed on what was seen while no driver was at work.
    with Lease(store.storage).held() if arguments.repair else nullcontext():
        with meter("verifying, chunks", None) as shown:
            found = verify_run(store, lambda done, total: shown.update(done, total=total))
        print("\n".join(found.lines()))
        removed = repair(store, found) if arguments.repair else []
    if found.faults and arguments.repair:
        if found.beyond_repair:
            print(f"removed {len(removed)} files; run.json is at fault: restore it, or start again with another --run")
            return EXIT_DAMAGED
        print(f"removed {len(removed)} files; run the same jobs.explain command again to make them")
        return EXIT_STOPPED
    if found.faults:
        return EXIT_DAMAGED
    return _recompute(store, arguments) if arguments.recompute else EXIT_OK


def _recompute(store: RunStore, arguments: argparse.Namespace) -> int:
    with meter("recomputing, chunks", None) as shown:
        again = recompute(
            store, arguments.recompute, arguments.model, lambda done, total: shown.update(done, total=total)
        )
    print("\n".join(again.lines()))
    return EXIT_OK if again.agrees else EXIT_DAMAGED


if __name__ == "__main__":
    sys.exit(main())
