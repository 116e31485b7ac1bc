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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ig_worker.explain.explanation import ENDS
from tests.benchmarks import accuracy_judge, accuracy_paths, accuracy_report, accuracy_rules, hindsight, machine
from tests.benchmarks.accuracy_judge import TOLERANCE, Arrays, error_of, judge_estimates, quantiles, trap
from tests.benchmarks.accuracy_paths import BATCH_TOKENS, Paths, together
from tests.benchmarks.accuracy_rules import Outcome, Procedure
from tests.benchmarks.hindsight import calibrate, look_back, product_errors
from tests.benchmarks.minilm import LackingError, fine_tuned
from tests.benchmarks.workload import LONGEST, PILOT, REVIEWS_FILE

GAUSS = (5, 10, 20, 50)  # 50 is alibi's default
PRODUCT = (4, 6, 8, 12, 16)
CHANGE_CELLS, CHANGE = 8, (5, 10, 20)
KRONROD, BISECTED = (0.05, 0.02, 0.01, 0.005), (0.05, 0.02, 0.01, 0.005)
ADAPTIVE, TIGHT = (0.05, 0.02, 0.01, 0.005, 0.002, 0.001), (1e-4, 1e-5)  # the latter where the head is smooth
MOST = 64  # evaluations of the adaptive engine, its default
MOST_BISECTED = 128  # of the methods that it is compared with
TRAPS = (4, 6, 8)  # nodes of the rules whose |delta| is watched
CHECKED, CHECK_PANELS = 6, 100  # reviews on which the reference is compared with plain Gauss-Legendre, 5 nodes a panel
_TOGETHER = 8  # batches' worth of texts whose questions are answered together


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    if options.markdown:
        print(accuracy_report.markdown(json.loads(options.markdown.read_text())))
        return 0
    try:
        if options.minilm:
            options.model.append(fine_tuned(options.reviews, options.packages, options.out, _say))
    except LackingError as error:
        return _refuse(str(error))
    if not options.model or options.reviews is None:
        return _refuse("--reviews, and --model or --minilm, are needed")
    if overlap(options):
        return _refuse("a pilot has none of the reviews that are explained; choose another --pilot-offset")
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
            "pilot": options.pilot,
            "pilot_offset": options.pilot_offset,
            "tolerances": options.tolerance,
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


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _refuse(why: str) -> int:
    _say(f"error: {why}")
    return 2


def overlap(options: argparse.Namespace) -> bool:
    """Whether a review of the pilots would be explained, too."""
    explained, pilot = (
        range(first, first + rows)
        for first, rows in ((options.offset, options.rows), (options.pilot_offset, options.pilot))
    )
    return any(row in explained for row in pilot)


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
        Path(accuracy_judge.__file__),
        Path(hindsight.__file__),
    ]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("tests.benchmarks.accuracy", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--reviews", type=Path, help=f"directory with {REVIEWS_FILE}")
    add("--model", type=Path, action="append", default=[], help="a trained network; may be repeated")
    add(
        "--minilm", action="store_true", help="MiniLM as well, which is fine-tuned on --reviews first, in about an hour"
    )
    add("--packages", type=Path, default=Path(".bench/packages"), help="where `make bench` installs, for --minilm")
    add("--rows", type=int, default=500, help="reviews of the test split, %(default)s by default")
    add("--offset", type=int, default=5000, help="reviews before them, %(default)s by default")
    add("--pilot", type=int, default=PILOT, help="rows of adaptive's pilots, %(default)s by default; 0 for none")
    add("--pilot-offset", type=int, default=8000, help="reviews before the pilots', %(default)s by default")
    add("--tolerance", type=float, action="append", help=f"of adaptive, besides {TOLERANCE}; again; many by default")
    add("--threads", type=int, default=2, help="%(default)s by default")
    add("--out", type=Path, default=Path(".bench"), help="where results and references go, %(default)s by default")
    add("--markdown", type=Path, metavar="JSON", help="print a finished study as Markdown")
    return parser


class Study:
    """All methods on one network."""

    def __init__(self, model: Path, options: argparse.Namespace) -> None:
        from ig_worker.explain.packing import BatchShape
        from ig_worker.explain.paths import PathPrograms
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
        pilot = argparse.Namespace(reviews=options.reviews, rows=options.pilot, offset=options.pilot_offset)
        self._pilot = read_documents(classifier.tokenizer, pilot) if options.pilot else []
        self._programs = PathPrograms(self._network, self._shape)
        usual = ADAPTIVE + (TIGHT if self._smooth_head else ())
        self._tolerances = sorted({TOLERANCE, *(options.tolerance or usual)}, reverse=True)
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
        checks = {name: quantiles(self._reference[name]) for name in ("check", "independent")}
        return {
            "digest": self._files.weights_digest,
            "tokens": float(np.mean(lengths)),
            "attributions_l1": quantiles(self._norms),
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
            errors.append(error_of(outcome.attributions, rows[i]))
        return np.array(errors)

    def _record(self, family: str, setting: float, **arrays: npt.ArrayLike) -> dict[str, Any]:
        """Enter a method's errors, evaluations and so on, one of each a review."""
        found = {name: np.asarray(values, np.float64) for name, values in arrays.items()}
        self._raw.update({f"{family}/{setting:g}/{name}": values for name, values in found.items()})
        record = {
            "family": family,
            "setting": setting,
            "evaluations": quantiles(found["evaluations"]) | {"mean": float(found["evaluations"].mean())},
            "error": quantiles(found["error"]),
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
                error=[error_of(outcome.attributions, row) for outcome, row in rows],
                evaluations=[outcome.evaluations for outcome in outcomes],
                **extra,
            )

    # Product integration ------------------------------------------------------------------------------------------

    def _products(self) -> list[dict[str, Any]]:
        """Fixed numbers of nodes; returns how often |delta| and the estimate accept wrong attributions."""
        from ig_worker.explain.calibration import CAUTIOUS
        from ig_worker.explain.integrals import integrals, open_paths
        from ig_worker.explain.packing import group_by_length
        from ig_worker.explain.product import ROUNDING, STRAIGHT

        count = len(self._documents)
        keys = [(*family, n) for family in (("product", STRAIGHT), ("spread", CAUTIOUS.spread)) for n in PRODUCT]
        names = ("error", "evaluations", "delta", "estimate")
        found = {(family, n): {name: np.zeros(count) for name in names} for family, _, n in keys}
        for group in group_by_length([problem.tokens for problem in self._documents], self._shape):
            opened = open_paths(self._programs, [self._documents[i] for i in group.members], group.length)
            sections, tokens = [e.section() for e in opened], [e.problem.tokens for e in opened]
            for family, spread, n in keys:
                into = found[family, n]
                given = integrals(self._programs, sections, n, spread, group, tokens)
                for i, ends, one in zip(group.members, opened, given, strict=True):
                    known = one.known(ends.shown, n, ends.f1 - ends.f0)
                    into["error"][i] = error_of(one.values, self._reference["rows"][i])
                    into["evaluations"][i], into["delta"][i] = ENDS + one.cost, known.gap
                    into["estimate"][i] = CAUTIOUS.estimate(known, TOLERANCE) + ROUNDING
        self._say("product integration")
        for (family, n), arrays in found.items():
            self._record(family, n, **arrays)
        return [trap(n, found["spread", n]) for n in TRAPS]

    def _adaptive(self) -> list[dict[str, Any]]:
        """The engine at some tolerances, each with a pilot of its own, as a run has; and what hindsight would do."""
        from ig_worker.explain.adaptive import AdaptiveEngine

        rows = []
        for tolerance in self._tolerances:
            known, spent = calibrate(self._network, self._programs, self._pilot, tolerance, self._shape)
            self._say(f"a pilot of {known.rows} other reviews at {tolerance:g}: {spent:.0f} evaluations")
            engine = AdaptiveEngine(
                self._network, tolerance, MOST, self._shape, programs=self._programs, calibration=known
            )
            arrays = self._compared(engine.explain(self._documents))
            record = self._record("adaptive", tolerance, **arrays)
            pilot = {"rows": known.rows, "evaluations": spent, "certified": known.certified}
            judged = judge_estimates(tolerance, arrays)
            rows.append({"tolerance": tolerance, "evaluations": record["evaluations"], "pilot": pilot} | judged)
            self._say(f"adaptive at {tolerance:g}: {record['evaluations']['mean']:.1f} evaluations a review")
            if tolerance == TOLERANCE:
                self._hindsight(known)
        return rows

    def _compared(self, explained: Sequence[Any]) -> Arrays:
        pairs = zip(explained, self._reference["rows"], strict=True)
        return {
            "error": np.array([error_of(explanation.attributions, row) for explanation, row in pairs]),
            "estimate": np.array([explanation.error_estimate for explanation in explained]),
            "evaluations": np.array([explanation.evaluations for explanation in explained]),
            "converged": np.array([explanation.status == "converged" for explanation in explained]),
            "delta": np.abs([explanation.delta for explanation in explained]) / self._norms,
        }

    def _hindsight(self, known: Any) -> None:
        """Product integration with the nodes that a pilot found, and with as few as do: of each review, and of all."""
        truth = self._reference["rows"]
        errors_at = product_errors(self._programs, self._documents, truth, known.spread, self._shape, "hindsight")
        back = look_back(errors_at, len(self._documents), TOLERANCE)
        self._record("hindsight", TOLERANCE, error=back.errors, evaluations=back.fewest + ENDS)
        always = np.full(len(self._documents), back.always + ENDS)
        self._record("always", TOLERANCE, error=back.always_errors, evaluations=always)


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


if __name__ == "__main__":
    sys.exit(main())
