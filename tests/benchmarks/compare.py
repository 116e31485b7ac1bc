"""This project's engines beside alibi and captum, in interleaved rounds on one machine."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ig_worker.explain.explanation import relative_l1
from ig_worker.explain.packing import BatchShape
from tests.benchmarks.arithmetic import Sizes, per_review, pruned, unpruned
from tests.benchmarks.machine import tensorflows_own_choice
from tests.benchmarks.peers import N_STEPS
from tests.benchmarks.process import Child, ChildError, last_line
from tests.benchmarks.workload import read_sizes

INTERNAL_BATCHES = (5, 10, 20, 50, 100)
_IN_TORCH = ("peers:Captum", "encoder_networks:Trainer")
TUTORIAL = "alibi, as its tutorials call it"


@dataclass(frozen=True)
class Contestant:
    """One row of a table: a peer and how it is set.

    Args:
        name: for the table.
        target: class in `peers`.
        arguments: of that class.
        environment: of its process.
        threads: None is what the whole benchmark uses.
        actors: equal processes that run at once; reviews/s are their sum.
    """

    name: str
    target: str
    arguments: Mapping[str, Any]
    environment: Mapping[str, str] = field(default_factory=dict)
    threads: int | None = None
    actors: int = 1
    note: str = ""

    @property
    def ours(self) -> bool:
        return self.target == "Ours"

    def evaluation_flop(self, sizes: Sizes, lengths: Sequence[int]) -> float:
        """FLOP of one evaluation, the mean over the documents, at the lengths to which this contestant pads them."""
        without = self.arguments.get("without", ())
        if self.ours and ("rows" in without or "projections" in without):
            return float("nan")  # the variants without a saving are compared by time alone
        program = pruned if self.ours else unpruned
        multiple = self.arguments.get("length_multiple", 32 if self.ours else 1)
        shape = BatchShape(multiple)
        return statistics.mean(program(sizes, shape.padded(length)).evaluation for length in lengths)


@dataclass(frozen=True)
class Setting:
    """What a benchmark runs with."""

    threads: int
    rounds: int
    out: Path
    packages: Path | None  # where torch and captum are
    reviews: str | None  # directory of real reviews
    say: Callable[[str], None]
    internal_batches: Sequence[int] = INTERNAL_BATCHES  # that a sweep tries

    def start(self, contestant: Contestant, stack: ExitStack) -> list[Child]:
        """The contestant's processes, ready to be asked."""
        return [
            stack.enter_context(
                Child(
                    f"tests.benchmarks.peers:{contestant.target}",
                    threads=contestant.threads or self.threads,
                    environment=contestant.environment,
                    packages=self.packages if contestant.target == "Captum" else None,
                    **contestant.arguments,
                )
            )
            for _ in range(contestant.actors)
        ]

    @contextmanager
    def child(self, target: str, **arguments: Any) -> Iterator[Child]:
        packages = self.packages if target in _IN_TORCH else None
        with Child(f"tests.benchmarks.{target}", threads=self.threads, packages=packages, **arguments) as child:
            yield child


def peers(setting: Setting, model: str, documents: str) -> list[Contestant]:
    """alibi as its tutorials call it, and alibi and captum at the settings that a short sweep found best here."""
    common = {"model": model, "documents": documents}
    # This project asks TensorFlow for oneDNN, for alibi at its best, too. A tutorial does not.
    own = tensorflows_own_choice()
    note = f"padded to 256, internal batch 5, oneDNN as TensorFlow chooses: {'no' if '0' in own.values() else 'yes'}"
    return [
        Contestant(TUTORIAL, "Alibi", common | {"internal_batch": 5}, own, note=note),
        *(_best(setting, "alibi", padding, [("Alibi", common)]) for padding in _PADDING),
        *_best_captum(setting, common),
    ]


_PADDING = {"padded to 256": {"length_multiple": 256, "together": 2}, "unpadded": {"length_multiple": 1, "together": 1}}


def _best_captum(setting: Setting, common: Mapping[str, Any]) -> list[Contestant]:
    kinds = [("Captum", {**common, "attention": attention}) for attention in ("eager", "sdpa")]
    try:
        return [_best(setting, "captum", padding, kinds) for padding in _PADDING]
    except ChildError as error:
        setting.say(f"no rows for captum: {last_line(error)}; `make bench` installs what it needs")
        return []


def _best(setting: Setting, name: str, padding: str, kinds: Sequence[tuple[str, Mapping[str, Any]]]) -> Contestant:
    """The fastest of some kinds of a peer, each at its best internal batch size, by seconds an evaluation."""
    tried: list[tuple[float, Contestant]] = []
    for target, common in kinds:
        arguments = {**common, **_PADDING[padding]}
        batches = _affordable(setting, Sizes(**read_sizes(common["model"])), arguments["together"])
        with setting.child(f"peers:{target}", **arguments) as child:
            seconds = child.ask("sweep", internal_batches=batches)
        kind = f"{arguments['attention']} attention, " if "attention" in arguments else ""
        pairs = list(zip(seconds, batches, strict=True))
        times = ", ".join(f"{s * 1e3:.1f} at {b}" for s, b in pairs)
        setting.say(f"{name}, {padding}, {kind}internal batch: ms an evaluation {times}")
        best, batch = min(pairs)
        arguments |= {"internal_batch": batch}
        note = f"{kind}internal batch {batch}"
        tried.append((best, Contestant(f"{name}, {padding}", target, arguments, note=note)))
    return min(tried, key=lambda pair: pair[0])[1]


def _affordable(setting: Setting, sizes: Sizes, together: int) -> list[int]:
    """Internal batch sizes that one call can fill, and whose activations fit into a quarter of the machine's memory.

    A block of a network that runs eagerly keeps, of each token, about 16 vectors of its width, 6 of its feed-forward
    part and 3 rows of attention.
    """
    floats = 256 * sizes.blocks * (16 * sizes.hidden + 6 * sizes.intermediate + 3 * sizes.heads * 256)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    fitting = [b for b in setting.internal_batches if b <= N_STEPS * together and 4 * b * floats <= memory / 4]
    return fitting or [min(setting.internal_batches)]


def race(
    setting: Setting, rows: Sequence[Contestant], sizes: Sizes, lengths: Sequence[int], reference: str | None = None
) -> list[dict[str, Any]]:
    """Run all contestants in turn, round after round, and measure the machine before and after each.

    Args:
        setting: of the benchmark.
        rows: the contestants.
        sizes: of the network.
        lengths: of the documents, in tokens.
        reference: file of exact attributions, where accuracy is wanted.

    Returns:
        A record for each contestant, medians over the rounds.
    """
    with ExitStack() as stack:
        meter = stack.enter_context(Child("tests.benchmarks.machine:MatrixRate", threads=setting.threads))
        children = [setting.start(contestant, stack) for contestant in rows]
        for contestant, processes in zip(rows, children, strict=True):
            setting.say(f"warming up: {contestant.name}")
            _all(processes, "warm_up")
        rounds = []
        for number in range(setting.rounds):
            done = []
            for contestant, processes in zip(rows, children, strict=True):
                before = meter.ask("measure")
                measured = _all(processes, "round")
                rate = (before + meter.ask("measure")) / 2
                done.append(_combine(measured) | {"matrix_rate": rate})
                setting.say(f"round {number + 1} of {setting.rounds}: {contestant.name} {done[-1]['seconds']:.1f} s")
            rounds.append(done)
        records = [_record(row, sizes, lengths, [done[i] for done in rounds]) for i, row in enumerate(rows)]
        _doubt(setting, [done["matrix_rate"] for each in rounds for done in each])
        for i, record in enumerate(records):
            record["faster_than"] = _ratios(records, rounds, i)
        if reference is not None:
            for record, processes in zip(records, children, strict=True):
                found = setting.out / "found.npz"
                processes[0].ask("attributions", path=str(found))
                record["accuracy"] = accuracy(found, Path(reference))
    return records


def _doubt(setting: Setting, rates: Sequence[float]) -> None:
    """Say so where the machine was not the same all the time, as other work on it or its cooling make it."""
    setting.say(f"matrix products: {min(rates) / 1e9:.0f} to {max(rates) / 1e9:.0f} GFLOP/s")
    if min(rates) < 0.8 * max(rates):
        setting.say("the machine was not quiet: do not trust these times")


def _all(processes: Sequence[Child], method: str) -> list[Any]:
    """The answers of processes that work at the same time."""
    for process in processes:
        process.begin(method)
    return [process.finish() for process in processes]


def _combine(measured: Sequence[dict[str, float]]) -> dict[str, float]:
    """One round of actors that ran at once: it lasts as long as the slowest of them."""
    return {
        "seconds": max(each["seconds"] for each in measured),
        "reviews": sum(each["reviews"] for each in measured),
        "evaluations": measured[0]["evaluations"],
        "peak_memory": max(each["peak_memory"] for each in measured),
    }


def _record(
    row: Contestant, sizes: Sizes, lengths: Sequence[int], rounds: Sequence[Mapping[str, float]]
) -> dict[str, Any]:
    rates = [each["reviews"] / each["seconds"] for each in rounds]
    evaluations = rounds[-1]["evaluations"]
    flop = evaluations * row.evaluation_flop(sizes, lengths)
    if row.ours:
        shape = BatchShape(row.arguments.get("length_multiple", 32))
        flop += statistics.mean(per_review(sizes, shape.padded(length)) for length in lengths)
    per_second = [flop * rate for rate in rates]
    return {
        "name": row.name,
        "note": row.note,
        "reviews_per_s": statistics.median(rates),
        "reviews_per_s_range": [min(rates), max(rates)],
        "evaluations": evaluations,
        "ms_per_evaluation": 1e3 / statistics.median(rates) / evaluations,
        "peak_memory": max(each["peak_memory"] for each in rounds),
        "flop_per_review": flop,
        "flop_per_s": statistics.median(per_second),
        "share_of_matrix_rate": statistics.median(
            each / done["matrix_rate"] for each, done in zip(per_second, rounds, strict=True)
        ),
        "matrix_rate": statistics.median(each["matrix_rate"] for each in rounds),
        "rounds": [dict(each) for each in rounds],
    }


def _ratios(
    records: Sequence[Mapping[str, Any]], rounds: Sequence[Sequence[Mapping[str, float]]], i: int
) -> dict[str, float]:
    """How many times as fast contestant `i` was as each other: the median of the ratios within a round."""

    def rate(done: Sequence[Mapping[str, float]], j: int) -> float:
        return done[j]["reviews"] / done[j]["seconds"]

    return {
        other["name"]: statistics.median(rate(done, i) / rate(done, j) for done in rounds)
        for j, other in enumerate(records)
        if j != i
    }


def accuracy(found: Path, reference: Path) -> dict[str, float]:
    """Median, 90th and 99th percentile over documents of `errors`."""
    return {name: float(np.quantile(errors(found, reference), q)) for name, q in _QUANTILES.items()}


_QUANTILES = {"median": 0.5, "p90": 0.9, "p99": 0.99}


def errors(found: Path, reference: Path) -> npt.NDArray[np.float64]:
    """Relative L1 difference of attributions from exact ones, [documents]."""
    with np.load(found) as ours, np.load(reference) as exact:
        return np.array([relative_l1(ours[name], exact[name]) for name in exact.files])
