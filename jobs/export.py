"""Writes the rows of a run for other tools.

Formats: hf (Hugging Face datasets), csv (spreadsheets), jsonl (JSON Lines), lit
(the Learning Interpretability Tool).

Examples:
    python -m jobs.export runs/first --format hf
    python -m jobs.export runs/first --format csv --out ./for-review
    python -m jobs.export s3://bucket/runs/first --format jsonl
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ig_worker.insight.export.write import FORMATS, write_export
from ig_worker.run.progress import meter
from ig_worker.run.store.run_store import RunStore
from jobs import _cli


def main(argv: Sequence[str] | None = None) -> int:
    made = _cli.parser("jobs.export", __doc__)
    made.add_argument("run", metavar="RUN", help="directory or URI of the run")
    made.flag("format", "of the files", choices=FORMATS, required=True)
    made.flag("out", "folder for them, a path or URI", default="", shown="RUN/export/FORMAT")
    made.flag("overwrite", "write also into a folder that holds something else", action="store_true", shown="no")
    return _cli.run(_export, made, argv)


def _export(arguments: argparse.Namespace) -> int:
    with meter("exporting, chunks", None) as shown:
        found = write_export(
            RunStore(arguments.run),
            arguments.format,
            arguments.out,
            arguments.overwrite,
            lambda done, total: shown.update(done, total=total),
        )
    print(f"rows         {found.written.rows:,}, of {found.texts:,} texts")
    if found.quarantined:
        print(f"left out     {found.quarantined:,} quarantined rows; RUN/quarantine says why")
    if found.unexplained_chunks:
        print(f"left out     {found.unexplained_chunks:,} chunks that are not explained yet")
    for note in found.written.notes:
        print(f"note         {note}")
    print(f"export       {found.place}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
