"""Do every fault to a whole run and hold what is left against an undisturbed one.

python -m tests.faults [--only WORD] [--rows 2000] [--out FILE.json]
python -m tests.faults --markdown FILE.json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ig_worker.run.steps.verify import verify_run
from ig_worker.run.store.run_store import RunStore
from tests.benchmarks.machine import describe
from tests.faults.cases import CASES, FAKETIME, Case, tmpfs
from tests.faults.report import markdown
from tests.faults.stage import CHUNK_ROWS, NODES, Result, Stage
from tests.run.s3 import FaultyProxy, make_bucket, s3_server, uri


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--only", default="", help="faults whose name holds this")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--out", type=Path, help="write the results here, as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE.json", help="only print results as the README's table")
    given = parser.parse_args(argv)
    if given.markdown:
        print(markdown(json.loads(given.markdown.read_text())))
        return 0
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
        cases = [case for case in CASES if given.only in case.name]
        records = list(run_cases(Path(folder), given.rows, cases))
    result = {
        "machine": describe(), "rows": given.rows, "chunk_rows": CHUNK_ROWS, "nodes": NODES, "faults": records
    }  # fmt: skip
    print(markdown(result))
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if all(record["sound"] for record in records) else 1


def run_cases(folder: Path, rows: int, cases: list[Case]) -> Iterator[dict[str, Any]]:
    plain = [case for case in cases if case.storage != "faketime"]
    stage = Stage(folder / "plain", rows)
    with ExitStack() as stack:
        if any(case.storage == "s3" for case in plain):
            stage.proxy = stack.enter_context(bucket())
        stack.enter_context(stage.cluster())
        yield from compare(stage, plain)
    if len(plain) < len(cases):
        if FAKETIME.exists():
            clock = folder / "clock"
            clock.write_text("+0\n")
            environment = {
                "LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }  # fmt: skip
            shifted = Stage(folder / "shifted", rows, environment)
            with shifted.cluster():
                yield from compare(shifted, [case for case in cases if case.storage == "faketime"])
        else:
            print(f"left out, for want of {FAKETIME} (Debian's faketime): clock jumps", file=sys.stderr)


def compare(stage: Stage, cases: list[Case]) -> Iterator[dict[str, Any]]:
    """One record a case: the run with the fault against the undisturbed run on the same storage."""
    undisturbed: dict[tuple[str, str], tuple[Result, float]] = {}
    for number, case in enumerate(cases):
        with place_of(stage, case.storage, f"run-{number}") as place:
            key = (case.like, "s3" if case.storage == "s3" else "disk")
            if key not in undisturbed:
                with place_of(stage, key[1], f"calm-{len(undisturbed)}") as quiet:
                    started = time.monotonic()
                    codes = [stage.start(quiet, case.like).wait()]
                    undisturbed[key] = (Result.of(quiet), time.monotonic() - started)
                    print(f"undisturbed, {key}: exit {codes}, {undisturbed[key][1]:.0f} s", file=sys.stderr)
            started = time.monotonic()
            codes = case.strike(stage, place)
            seconds = time.monotonic() - started
            record = judged(case, codes, Result.of(place), *undisturbed[key], seconds, stage.rows)
            record["faults"] = verify_run(RunStore(place)).faults
            record["sound"] = record["sound"] and not record["faults"]
            print(json.dumps(record), file=sys.stderr)
            yield record


def judged(
    case: Case, codes: list[int], found: Result, quiet: Result, quiet_s: float, seconds: float, rows: int
) -> dict[str, Any]:
    """What a fault has cost."""
    # Other data sets make other runs, with another fingerprint in every file: there the rows are compared.
    same = found.files == quiet.files if case.like == "good" else found.same_rows(quiet)
    lost, doubled = rows - len(set(found.ids)), len(found.ids) - len(set(found.ids))
    return {
        "name": case.name,
        "exit_codes": codes,
        "lost": lost,
        "doubled": doubled,
        "quarantined": found.quarantined,
        "identical": same,
        "undisturbed_s": round(quiet_s, 1),
        "seconds": round(seconds, 1),
        "sound": codes == case.expected and not lost and not doubled and same and found.quarantined == case.quarantined,
    }


@contextmanager
def place_of(stage: Stage, storage: str, name: str) -> Iterator[str]:
    """Where a run is to be."""
    if storage == "tmpfs":
        with tmpfs(stage.folder / name) as place:
            yield place
    elif storage == "s3":
        assert stage.proxy is not None
        yield uri(stage.proxy.port, name)
    else:
        yield str(stage.folder / name)


@contextmanager
def bucket() -> Iterator[FaultyProxy]:
    """A proxy in front of an S3 server with an empty bucket."""
    with s3_server() as port, FaultyProxy(port) as proxy:
        make_bucket(uri(port, ""))
        yield proxy


if __name__ == "__main__":
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    sys.exit(main())
