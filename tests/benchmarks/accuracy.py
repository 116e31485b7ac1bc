"""How accurate the attributions of real reviews are for how many evaluations, by this project's methods and others.

    python -m tests.benchmarks.accuracy --reviews DIR --model DIR [--model DIR ...]
    python -m tests.benchmarks.accuracy --markdown .bench/accuracy.json     # a finished study as the README's tables

DIR of --reviews holds imdb.npz and imdb_word_index.json. The errors are relative L1 errors of a review's attributions
against the refined reference; evaluations are counted by the contract of `Explanation.evaluations`.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.benchmarks import accuracy_paths, accuracy_report, accuracy_rules, machine
from tests.benchmarks.accuracy_paths import BATCH_TOKENS, Paths, together
from tests.benchmarks.accuracy_rules import ENDS, Outcome, Procedure
from tests.benchmarks.workload import LONGEST, REVIEWS_FILE

GAUSS = (5, 10, 20, 50)  # 50 is alibi's default
PRODUCT = (4, 6, 8, 12, 16)
CHANGE_CELLS, CHANGE = 8, (5, 10, 20)
KRONROD, BISECTED = (0.05, 0.02, 0.01, 0.005), (0.05, 0.02, 0.01, 0.005)
ADAPTIVE, TIGHT = (0.05, 0.02, 0.01, 0.005, 0.002, 0.001), (1e-4, 1e-5)  # the latter where the head is smooth
MOST = 64  # evaluations of the adaptive engine, its default
MOST_BISECTED = 128  # of the methods that it is compared with
TRAPS = (4, 6, 8)  # nodes of the rules whose |delta| is watched
TOLERANCE = 0.005
CHECKED, CHECK_PANELS = 6, 100  # reviews on which the reference is compared with plain Gauss-Legendre, 5 nodes a panel
_TOGETHER = 8  # batches' worth of texts whose questions are answered together

Arrays = dict[str, npt.NDArray[Any]]


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    if options.markdown:
        print(accuracy_report.markdown(json.loads(options.markdown.read_text())))
        return 0
    if not options.model or options.reviews is None:
        print("error: --reviews and --model are needed", file=sys.stderr)
        return 2
    from ig_worker.models.runtime import configure

    configure(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {
        "machine": machine.describe(),
        "code": _code_digest(),
        "data": {"file": REVIEWS_FILE, "split": "test", "rows": options.rows, "offset": options.offset},
        "settings": {
            "tolerance": TOLERANCE,
            "max_evaluations": MOST,
            "max_evaluations_bisected": MOST_BISECTED,
            "max_length": LONGEST,
            "baseline": "pad",
        },
        "models": {},
    }
    path = options.out / "accuracy.json"
    for model in options.model:
        study = Study(model, options)
        found = study.run()
        study.save(options.out / f"accuracy-{model.name}.npz")
        accuracy_report.show(model.name, found)
        result["models"] = _known(path, result) | {model.name: found}
        path.write_text(json.dumps(result, indent=1) + "\n")
        accuracy_report.plot(result, path.with_suffix(".png"))
    print(path)
    return 0


def _known(path: Path, result: dict[str, Any]) -> dict[str, Any]:
    """Other models of an earlier study on the same reviews with the same settings, code and versions."""
    if not path.exists():
        return {}
    earlier = json.loads(path.read_text())
    same = all(earlier[key] == result[key] for key in ("data", "settings", "code"))
    return earlier["models"] if same and earlier["machine"]["versions"] == result["machine"]["versions"] else {}


def _code_digest() -> str:
    """Of this study and of all that computes attributions."""
    from ig_worker import explain

    files = [
        *sorted(Path(explain.__path__[0]).glob("*.py")),
        Path(__file__),
        Path(accuracy_rules.__file__),
        Path(accuracy_paths.__file__),
    ]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("tests.benchmarks.accuracy", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--reviews", type=Path, help=f"directory with {REVIEWS_FILE}")
    add("--model", type=Path, action="append", default=[], help="a trained network; may be repeated")
    add("--rows", type=int, default=500, help="reviews of the test split, %(default)s by default")
    add("--offset", type=int, default=5000, help="reviews before them, %(default)s by default")
    add("--threads", type=int, default=2, help="%(default)s by default")
    add("--out", type=Path, default=Path(".bench"), help="where results and references go, %(default)s by default")
    add("--markdown", type=Path, metavar="JSON", help="print a finished study as Markdown")
    return parser


class Study:
    """All methods on one network."""

    def __init__(self, model: Path, options: argparse.Namespace) -> None:
        from ig_worker.explain.packing import BatchShape
        from ig_worker.models.classifier import load_classifier
        from ig_worker.models.files import find_model

        self._begun = time.monotonic()
        self._name, self._out = model.name, options.out
        self._files = find_model(str(model))
        classifier = load_classifier(self._files)
        self._network = classifier.split("embeddings")
        self._shape = BatchShape(32, BATCH_TOKENS, classifier.shape.positions)
        self._smooth_head = classifier.shape.architecture == "bert"  # tanh; DistilBERT's is a ReLU
        self._documents = read_documents(classifier.tokenizer, options)
        self._records: list[dict[str, Any]] = []
        self._raw: Arrays = {}

    def run(self) -> dict[str, Any]:
        """Figures of the study, as they go into accuracy.json."""
        lengths = [problem.tokens for problem in self._documents]
        self._say(f"{len(lengths)} reviews, {np.mean(lengths):.0f} tokens on average")
        self._reference = self._refined()
        self._norms = np.array([max(np.abs(row).sum(), accuracy_rules.FLOOR) for row in self._reference["rows"]])
        self._procedures()
        traps = self._products()
        calibration = self._adaptive()
        checks = {name: _quantiles(self._reference[name]) for name in ("check", "independent")}
        return {
            "digest": self._files.weights_digest,
            "tokens": float(np.mean(lengths)),
            "attributions_l1": _quantiles(self._norms),
            "reference": checks | {"independent_rows": len(self._reference["independent"])},
            "methods": self._records,
            "calibration": calibration,
            "traps": traps,
            "seconds": time.monotonic() - self._begun,
        }

    def save(self, path: Path) -> None:
        """Write every method's error, evaluations and so on of every review."""
        np.savez_compressed(path, **self._raw)

    def _say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._begun:6.0f} s] {self._name}: {text}", file=sys.stderr, flush=True)

    # What is measured against -------------------------------------------------------------------------------------

    def _refined(self) -> dict[str, Any]:
        """The reference, how far 32 nodes are from its 40, and how far plain Gauss-Legendre is on the worst of them."""
        from ig_worker.explain import refined

        digest = hashlib.sha256(f"{self._files.weights_digest} {refined.NODES} {refined.CELLS}".encode())
        for problem in self._documents:
            digest.update(problem.text.ids.tobytes() + problem.baseline.tobytes())
        path = self._out / f"reference-{digest.hexdigest()[:16]}.npz"
        if not path.exists():
            # All nodes fit one batch, or else every forward pass would run twice.
            shape = dataclasses.replace(self._shape, batch_tokens=2 * BATCH_TOKENS)
            found = refined.RefinedEngine(self._network, shape).explain(self._documents)
            rows = [explanation.attributions for explanation in found]
            check = np.array([explanation.error_estimate for explanation in found])
            targets = np.array([explanation.target for explanation in found], np.int32)
            independent = self._independent(rows, check, targets)
            np.savez(path, flat=np.concatenate(rows), check=check, targets=targets, independent=independent)
        with np.load(path) as saved:
            known = dict(saved)
        cuts = np.cumsum([problem.tokens for problem in self._documents])[:-1]
        self._say("the reference is there")
        return known | {"rows": np.split(known["flat"], cuts)}

    def _independent(
        self, rows: Sequence[npt.NDArray[np.float32]], check: npt.NDArray[np.float64], targets: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.float64]:
        x, w = np.polynomial.legendre.leggauss(5)
        lows = np.arange(CHECK_PANELS)[:, None]
        nodes, weights = ((lows + (1 + x) / 2) / CHECK_PANELS).ravel(), np.tile(w / 2 / CHECK_PANELS, CHECK_PANELS)
        worst = np.argsort(check)[-CHECKED:]
        paths, errors = Paths(self._network), []
        for i in worst:
            problem = self._documents[i]
            paths.open([problem], targets[i : i + 1], self._shape.padded(problem.tokens))
            outcome = together([accuracy_rules.fixed(nodes, weights)], paths)[0][float(len(nodes))]
            errors.append(_error(outcome.attributions, rows[i]))
        return np.array(errors)

    def _record(self, family: str, setting: float, **arrays: npt.ArrayLike) -> dict[str, Any]:
        """Enter a method's errors, evaluations and so on, one of each a review."""
        found = {name: np.asarray(values, np.float64) for name, values in arrays.items()}
        self._raw.update({f"{family}/{setting:g}/{name}": values for name, values in found.items()})
        record = {
            "family": family,
            "setting": setting,
            "evaluations": _quantiles(found["evaluations"]) | {"mean": float(found["evaluations"].mean())},
            "error": _quantiles(found["error"]),
            "converged": float(found["converged"].mean()) if "converged" in found else None,
        }
        self._records.append(record)
        return record

    # Methods on F's own integrand ---------------------------------------------------------------------------------

    def _procedures(self) -> None:
        from ig_worker.explain.packing import group_by_length
        from ig_worker.explain.rules import fixed_rule

        rules = [fixed_rule("gausslegendre", n) for n in GAUSS]
        pair, gauss = accuracy_rules.kronrod_pair(), accuracy_rules.gauss_rule(5)
        makers: list[tuple[str, Callable[[Any], Procedure]]] = [
            *[("gauss", lambda _, rule=rule: accuracy_rules.fixed(rule.nodes, rule.weights)) for rule in rules],
            ("change", lambda f: accuracy_rules.by_change(f, CHANGE_CELLS, CHANGE)),
            ("completeness", lambda f: accuracy_rules.bisection(gauss, f, BISECTED, MOST_BISECTED)),
            ("kronrod", lambda f: accuracy_rules.bisection(pair, f, KRONROD, MOST_BISECTED)),
        ]
        found: dict[tuple[str, float], list[Outcome | None]] = {}
        paths, count = Paths(self._network), len(self._documents)
        wide = dataclasses.replace(self._shape, batch_tokens=_TOGETHER * BATCH_TOKENS)
        groups = group_by_length([problem.tokens for problem in self._documents], wide)
        for group in groups:
            members = np.array(group.members)
            problems = [self._documents[i] for i in members]
            ends = paths.open(problems, self._reference["targets"][members], group.length).astype(np.float64)
            for family, make in makers:
                outcomes = together([make((f0, f1)) for f0, f1 in ends], paths)
                for i, settings in zip(members, outcomes, strict=True):
                    for setting, outcome in settings.items():
                        found.setdefault((family, setting), [None] * count)[i] = outcome
            self._say(f"fixed rules and bisection, {group.length} tokens, {len(members)} reviews")
        for (family, setting), entries in found.items():
            outcomes = [entry for entry in entries if entry is not None]
            rows = zip(outcomes, self._reference["rows"], strict=True)
            extra = {}
            if outcomes[0].estimate is not None:
                extra = {"converged": [o.converged for o in outcomes], "estimate": [o.estimate for o in outcomes]}
            self._record(
                family,
                setting,
                error=[_error(outcome.attributions, row) for outcome, row in rows],
                evaluations=[outcome.evaluations for outcome in outcomes],
                **extra,
            )

    # Product integration ------------------------------------------------------------------------------------------

    def _products(self) -> list[dict[str, Any]]:
        """Fixed numbers of nodes; returns how often |delta| and the estimate accept wrong attributions."""
        from ig_worker.explain.packing import group_by_length
        from ig_worker.explain.paths import PathPrograms, Section
        from ig_worker.explain.product import NODES, ROUNDING, Spread, error_series, grid_error

        programs = PathPrograms(self._network, self._shape)
        count = len(self._documents)
        keys = [(spread, n) for spread in (Spread(centred=False), Spread(centred=True)) for n in PRODUCT]
        names = ("error", "evaluations", "delta", "estimate")
        found = {key: {name: np.zeros(count) for name in names} for key in keys}
        for group in group_by_length([problem.tokens for problem in self._documents], self._shape):
            members = list(group.members)
            z1, z0 = programs.open([self._documents[i] for i in members], group.length)
            targets = self._reference["targets"][members]
            f1, f0 = (programs.probabilities(z)[np.arange(len(z)), targets].astype(np.float64) for z in (z1, z0))
            tasks = [Section(row, int(t), 0.0, 1.0, z0[row], z1[row]) for row, t in enumerate(targets)]
            for spread, n in keys:
                size = max(1, group.rows // n)
                for part in (tasks[i : i + size] for i in range(0, len(tasks), size)):
                    out = programs.integrate(part, n, spread, group.length)
                    estimates = np.full(len(part), np.nan)
                    if n in NODES:  # with fewer, the engine has no estimate
                        series = error_series(out.contributions, out.strengths, out.signed, out.absolute, spread)
                        estimates = series[:, NODES.index(n)] + grid_error(out.contributions, out.halved)
                    for task, values, estimate in zip(part, out.contributions, estimates, strict=True):
                        i = members[task.row]
                        row = self._reference["rows"][i]
                        sums = values.sum(axis=0, dtype=np.float64)
                        norm = max(np.abs(sums).sum(), accuracy_rules.FLOOR)
                        gap = abs(sums.sum() - (f1[task.row] - f0[task.row]))
                        into = found[spread, n]
                        into["error"][i], into["evaluations"][i] = _error(sums, row), ENDS + out.cost
                        into["delta"][i], into["estimate"][i] = gap / norm, max(estimate, gap) / norm + ROUNDING
        self._say("product integration")
        for (spread, n), arrays in found.items():
            self._record("spread" if spread.centred else "product", n, **arrays)
        return [_trap(n, found[Spread(centred=True), n]) for n in TRAPS]

    def _adaptive(self) -> list[dict[str, Any]]:
        from ig_worker.explain.adaptive import AdaptiveEngine

        rows = []
        for tolerance in ADAPTIVE + (TIGHT if self._smooth_head else ()):
            explained = AdaptiveEngine(self._network, tolerance, MOST, self._shape).explain(self._documents)
            pairs = zip(explained, self._reference["rows"], strict=True)
            arrays = {
                "error": np.array([_error(explanation.attributions, row) for explanation, row in pairs]),
                "estimate": np.array([explanation.error_estimate for explanation in explained]),
                "evaluations": np.array([explanation.evaluations for explanation in explained]),
                "converged": np.array([explanation.status == "converged" for explanation in explained]),
                "delta": np.abs([explanation.delta for explanation in explained]) / self._norms,
            }
            record = self._record("adaptive", tolerance, **arrays)
            rows.append({"tolerance": tolerance, "evaluations": record["evaluations"]} | _calibrate(tolerance, arrays))
            self._say(f"adaptive at {tolerance:g}: {record['evaluations']['mean']:.1f} evaluations a review")
        return rows


def read_documents(tokenizer: Any, options: argparse.Namespace) -> list[Any]:
    from ig_worker.data.sources import DataSpec, open_documents
    from ig_worker.explain.baselines import SpecialIds, baseline_ids
    from ig_worker.explain.problems import Problem
    from ig_worker.models.tokenize import TextEncoder

    spec = DataSpec(dataset=str(options.reviews / REVIEWS_FILE), limit=options.rows, offset=options.offset)
    texts = [text for batch in open_documents(spec).batches() for text in batch.column("text").to_pylist()]
    special = SpecialIds.of(tokenizer)
    return [
        Problem(found.inputs, baseline_ids(found.inputs.ids, "pad", special))
        for found in TextEncoder(tokenizer, "bert", LONGEST).encode(texts)
    ]


def _error(found: npt.NDArray[Any], exact: npt.NDArray[Any]) -> float:
    """Relative L1 error of attributions, padded perhaps."""
    from ig_worker.explain.explanation import relative_l1

    return relative_l1(found[: len(exact)], exact)


def _quantiles(values: npt.ArrayLike) -> dict[str, float]:
    found = np.asarray(values, np.float64)
    places = {"median": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: float(np.quantile(found, place)) for name, place in places.items()}


def _calibrate(tolerance: float, found: Arrays) -> dict[str, Any]:
    """How well the adaptive engine knows its own error; all but two are shares of the reviews."""
    error, estimate = found["error"], found["estimate"]
    return {
        "converged": float(found["converged"].mean()),
        "within": float((error <= tolerance).mean()),
        "covered": float((estimate >= error).mean()),
        "ratio_median": float(np.median(estimate / error)),
        "ratio_worst": float((error / estimate).max()),
        "ratio_of_medians": float(np.median(estimate) / np.median(error)),
        "delta_covered": float((found["delta"] >= error).mean()),
        "delta_silent": float(((found["delta"] < tolerance / 10) & (error > tolerance / 10)).mean()),
    }


def _trap(n: int, found: Arrays) -> dict[str, Any]:
    """What stopping by |delta| at half the tolerance, and by the estimate at the tolerance, would let through."""
    error = found["error"]

    def judge(accepted: Iterable[bool]) -> dict[str, Any]:
        kept = error[np.asarray(accepted)]
        return {
            "accepted": float(len(kept) / len(error)),
            "wrong": float((kept > TOLERANCE).sum() / len(error)),
            "wrong_of_accepted": float((kept > TOLERANCE).mean()) if len(kept) else None,
            "worst": float(kept.max()) if len(kept) else None,
        }

    known = not np.isnan(found["estimate"]).any()
    return {
        "nodes": n,
        "good": float((error <= TOLERANCE).mean()),
        "delta": judge(found["delta"] <= TOLERANCE / 2),
        "estimate": judge(found["estimate"] <= TOLERANCE) if known else None,
    }


if __name__ == "__main__":
    sys.exit(main())
