"""Each encoder beside captum on the same weights: evaluations a review, reviews a second, and errors of both.

    python -m tests.benchmarks.encoders --train         # trains the networks alone, some minutes each, once
    python -m tests.benchmarks.encoders                 # the race; trains what is not there
    python -m tests.benchmarks.encoders --markdown tests/benchmarks/results/encoders.json

Networks of 4 blocks and width 128 learn the demo's made-up reviews, so that paths are those of trained networks. Ours
is the adaptive engine with a pilot of other reviews; captum has 50 nodes of Gauss-Legendre, at the fastest of some
paddings and internal batch sizes. Both explain the same reviews by turns, round after round, and a ratio is the median
of those within a round. Errors are relative L1, against the refined reference.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks import machine, report
from tests.benchmarks.compare import Setting, accuracy
from tests.benchmarks.encoder_networks import BLOCKS, HIDDEN, RACED, title_of, train_all
from tests.benchmarks.workload import PILOT

TOLERANCE = 0.005
LEAST_ACCURACY = 0.75
INTERNAL_BATCHES = (10, 25, 50)
PADDING = {
    "padded to 256": {"length_multiple": 256, "together": 2},
    "unpadded": {"length_multiple": 1, "together": 1},
}  # fmt: skip
EAGER_ONLY = ("mpnet", "deberta")  # transformers has no other attention of theirs
HEADINGS = (
    "encoder", "accuracy", "ours: evaluations a review", "reviews/s", "error: median", "p99",
    "captum: evaluations a review", "reviews/s", "error: median", "p99", "ours is faster by",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    if options.markdown:
        print(markdown(json.loads(options.markdown.read_text())))
        return 0
    setting = _setting(options)
    accuracies = train_all(setting, options.out.resolve() / "encoders")
    if options.train:
        return 0
    kinds = options.only or RACED
    refuse_untrained({kind: accuracies[kind] for kind in kinds})
    records = []
    for kind in kinds:
        records.append(race(setting, kind, options.count, options.copies, options.pilot))
        records[-1]["test_accuracy"] = accuracies[kind]
        print(report.line(cells(records[-1])), flush=True)
    result = {
        "machine": machine.describe(setting.packages),
        "threads": setting.threads,
        "rounds": setting.rounds,
        "blocks": BLOCKS,
        "hidden": HIDDEN,
        "tolerance": TOLERANCE,
        "load": os.getloadavg()[2],  # of the last 15 minutes
        "records": records,
    }
    path = options.out / "encoders.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(path)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("tests.benchmarks.encoders", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--only", action="append", choices=RACED, metavar="KIND", help="one of the networks; again for others")
    add("--rounds", type=int, default=3, help="interleaved rounds, %(default)s by default")
    add("--count", type=int, default=16, help="reviews a round, %(default)s by default")
    add("--copies", type=int, default=8, help="ours explains each review so often a round, as a chunk has as many")
    add("--pilot", type=int, default=PILOT, help="rows of the pilot, %(default)s by default")
    add("--threads", type=int, default=os.cpu_count(), help="threads of every process, all cores by default")
    add("--packages", type=Path, default=Path(".bench/packages"), help="directory of torch and captum")
    add("--out", type=Path, default=Path(".bench"), help="where networks and results go, %(default)s by default")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--train", action="store_true", help="only train the networks")
    modes.add_argument("--markdown", type=Path, metavar="JSON", help="print a result as Markdown")
    return parser


def _setting(options: argparse.Namespace) -> Setting:
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - begun:6.0f} s] {text}", file=sys.stderr, flush=True)

    options.out.mkdir(parents=True, exist_ok=True)
    return Setting(
        options.threads, options.rounds, options.out.resolve(), options.packages.resolve(), None, say, INTERNAL_BATCHES
    )


def refuse_untrained(accuracies: Mapping[str, float]) -> None:
    """Leave where a network has learnt next to nothing: its paths are straighter than those of any that people have."""
    for kind, right in accuracies.items():
        if right < LEAST_ACCURACY:
            raise SystemExit(
                f"error: {title_of(kind)} tells {right:.2f} of the test's reviews; its paths would be those of "
                f"nothing learnt; expected {LEAST_ACCURACY} or more: remove it, and train it anew with other STEPS"
            )


def race(setting: Setting, kind: str, count: int, copies: int, pilot_rows: int) -> dict[str, Any]:
    """A record of one encoder: both engines in turn, round after round."""
    model = str(setting.out / "encoders" / kind)
    documents, pilot, exact, found = (
        str(setting.out / f"encoders-{name}.npz") for name in ("documents", "pilot", "exact", "found")
    )
    with setting.child("encoder_networks:Reader", model=model) as reader:
        lengths = reader.ask("documents", path=documents, pilot=pilot, count=count, pilot_rows=pilot_rows)
    setting.say(f"{title_of(kind)}: {count} reviews of {min(lengths)} to {max(lengths)} tokens")
    with setting.child("ours:Scout", model=model, documents=None, tolerance=TOLERANCE) as scout:
        run = scout.ask("pilot", documents=pilot)
    common = {"model": model, "documents": documents}
    with setting.child("peers:Ours", **common, engine="refined") as child:
        child.ask("round")
        child.ask("attributions", path=exact)
    best = _best_captum(setting, kind, common)
    adaptive = {"engine": "adaptive", "tolerance": TOLERANCE, "copies": copies, "calibration": run["calibration"]}
    with (
        setting.child("peers:Ours", **common, **adaptive) as ours,
        setting.child("peers:Captum", **common, **best["arguments"]) as captum,
    ):
        contestants = {"ours": ours, "captum": captum}
        for child in contestants.values():
            child.ask("warm_up")
        rounds = [{name: child.ask("round") for name, child in contestants.items()} for _ in range(setting.rounds)]
        record: dict[str, Any] = {"kind": kind, "lengths": lengths, "pilot": run, "captum_at": best["note"]}
        for name, child in contestants.items():
            child.ask("attributions", path=found)
            record[name] = _side([one[name] for one in rounds]) | {"error": _errors(found, exact)}
    record["faster_by"] = statistics.median(rate(one["ours"]) / rate(one["captum"]) for one in rounds)
    return record


def _best_captum(setting: Setting, kind: str, common: Mapping[str, Any]) -> dict[str, Any]:
    """The fastest of captum's paddings and internal batch sizes, by seconds a token that is no padding."""
    tried = []
    attention = "eager" if kind.startswith(EAGER_ONLY) else "sdpa"
    for padding, arguments in PADDING.items():
        asked = {**common, "attention": attention, **arguments}
        with setting.child("peers:Captum", **asked) as child:
            seconds = child.ask("sweep", internal_batches=list(INTERNAL_BATCHES))
        for each, internal in zip(seconds, INTERNAL_BATCHES, strict=True):
            note = f"{padding}, {attention} attention, internal batch {internal}"
            chosen = {"attention": attention, "internal_batch": internal, **arguments}
            tried.append((each, {"note": note, "arguments": chosen}))
    return min(tried, key=lambda pair: pair[0])[1]


def rate(done: Mapping[str, float]) -> float:
    """Reviews a second of a round."""
    return done["reviews"] / done["seconds"]


def _side(rounds: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    return {
        "evaluations": rounds[-1]["evaluations"],
        "reviews_per_s": statistics.median(map(rate, rounds)),
        "peak_memory": max(done["peak_memory"] for done in rounds),
        "rounds": [dict(done) for done in rounds],
    }


def _errors(found: str, exact: str) -> dict[str, float]:
    return accuracy(Path(found), Path(exact))


def cells(record: Mapping[str, Any]) -> list[str]:
    """A record as text, in the order of `HEADINGS`."""
    sides = []
    for name in ("ours", "captum"):
        side = record[name]
        errors = [f"{side['error'][q]:.1e}" for q in ("median", "p99")]
        sides += [f"{side['evaluations']:.1f}", f"{side['reviews_per_s']:.3g}", *errors]
    return [title_of(record["kind"]), f"{record['test_accuracy']:.3f}", *sides, f"{record['faster_by']:.1f}"]


def markdown(result: Mapping[str, Any]) -> str:
    """The table of a result, as the page shows it."""
    first = result["records"][0]
    lengths = first["lengths"]
    return "\n".join(
        [
            report.origin(result), "",
            f"**{result['blocks']} blocks of width {result['hidden']}, trained; {len(lengths)} reviews, "
            f"{sum(lengths) / len(lengths):.0f} tokens on average, tolerance {result['tolerance']}, "
            f"a pilot of {first['pilot']['rows']} others**",
            "", report.line(HEADINGS), report.line(["---", *["---:"] * (len(HEADINGS) - 1)]),
            *(report.line(cells(record)) for record in result["records"]),
        ]
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
