"""How a run scales, by simulation: actors that only sleep, and the files of many chunks. No model, no GPU.

python -m tests.benchmarks.scale                       # about eight minutes on two cores
python -m tests.benchmarks.scale --quick               # two minutes, smaller numbers
python -m tests.benchmarks.scale --markdown FILE.json  # a finished result as the README's tables
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks import machine, scale_report
from tests.benchmarks.process import Child

_CORES = os.cpu_count() or 1
_DISPATCHERS = 8  # actors that take no time at all, for the rate of dispatch


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("tests.benchmarks.scale", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--quick", action="store_true", help="smaller numbers")
    add("--rounds", type=int, default=3, help="of which medians are taken, %(default)s by default")
    add("--processes", type=int, default=64, help="of stand-in actors, %(default)s by default; each takes some 100 MB")
    add("--chunk-seconds", type=float, default=2.0, help="that a chunk takes, %(default)s by default")
    add("--out", type=Path, default=Path(".bench"), help="where results go, %(default)s by default")
    add("--markdown", type=Path, metavar="JSON", help="print a result as Markdown")
    options = parser.parse_args(argv)
    if options.markdown:
        print(scale_report.markdown(json.loads(options.markdown.read_text())))
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    begun, load = time.monotonic(), os.getloadavg()[0]
    result = {
        "machine": machine.describe() | {"ray": importlib.metadata.version("ray")},
        "rounds": options.rounds,
        "dispatch": _dispatch(options),
        "efficiency": _efficiency(options),
        **_files(options),
    }
    # The load before the start is others'; the one at the end is this benchmark's own, too.
    result |= {"load": [load, os.getloadavg()[0]], "seconds": time.monotonic() - begun}
    path = options.out / "scale.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    scale_report.plot(result, path.with_suffix(".png"))
    print(scale_report.markdown(result))
    print(path, file=sys.stderr)
    return 0


def _dispatch(options: argparse.Namespace) -> list[dict[str, float]]:
    """The rate at which chunks that take no time are given out."""
    records = []
    with _driver(_DISPATCHERS) as child:
        child.ask("run", actors=_DISPATCHERS, chunks=100, seconds=0)  # the first calls open connections
        for chunks in (10, 100, 1000) if options.quick else (10, 100, 1000, 10_000):
            records.append(_median(child, options.rounds, actors=_DISPATCHERS, chunks=chunks, seconds=0))
        child.ask("close")
    with _driver(_DISPATCHERS) as child:  # a process of its own, for its peak memory
        records.append(_median(child, 1, actors=_DISPATCHERS, chunks=5000 if options.quick else 100_000, seconds=0))
        child.ask("close")
    return records


def _efficiency(options: argparse.Namespace) -> list[dict[str, float]]:
    """How busy actors are whose chunks take a while: the ideal time over the real one."""
    processes = 16 if options.quick else options.processes
    sizes = [2**i for i in range(processes.bit_length())]
    cases = [(actors, options.chunk_seconds) for actors in sizes]
    if not options.quick:  # several actors in a process
        cases += [(actors, times * options.chunk_seconds) for actors, times in ((256, 2), (1024, 2), (1024, 8))]
    with _driver(processes) as child:
        records = [
            _median(
                child,
                1 if options.quick or actors > processes else options.rounds,
                actors=actors,
                chunks=3 * actors,
                seconds=seconds,
            )
            for actors, seconds in cases
        ]
        child.ask("close")
    return records


def _files(options: argparse.Namespace) -> dict[str, Any]:
    counts = (1000,) if options.quick else (1000, 10_000, 100_000)
    local = []
    for chunks in counts:
        with _files_child() as child:
            local.append(child.ask("local", chunks=chunks, status=chunks <= 10_000))
            _say(local[-1])
    with _files_child() as child:
        object_store = [
            child.ask("object_store", chunks=chunks, readers=readers) for chunks, readers in ((100, 1), (3000, 32))
        ]
        _say(object_store)
    with _files_child() as child:
        prepare = child.ask("prepare", rows=5000 if options.quick else 50_000, chunk_rows=256)
        _say(prepare)
    with _files_child() as child:
        seen = child.ask("seen", rows=1_000_000 if options.quick else 5_000_000)
        _say(seen)
    return {"files": local, "object_store": object_store, "prepare": prepare, "seen": seen}


def _driver(processes: int) -> Child:
    return Child("tests.benchmarks.scale_dispatch:Driver", threads=_CORES, processes=processes)


def _files_child() -> Child:
    return Child("tests.benchmarks.scale_files:Files", threads=_CORES)


def _median(child: Child, rounds: int, **arguments: Any) -> dict[str, float]:
    """Each number's median over some rounds."""
    done = [child.ask("run", **arguments) for _ in range(rounds)]
    record = {name: statistics.median(each[name] for each in done) for name in done[0]}
    _say(record)
    return record


def _say(record: Mapping[str, float] | Sequence[Mapping[str, float]]) -> None:
    print(json.dumps(record), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
