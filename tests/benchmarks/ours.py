"""This project's own rows of the race, and what is found out for them beforehand.

A night's actors have what a pilot found out; so has *ours, adaptive*. The fixed rules beside it have what nobody knows
before a night: the fewest nodes that bring 99% of reviews within the tolerance.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ig_worker.explain.calibration import CAUTIOUS, Calibration
from ig_worker.explain.product import FEWEST, MOST
from ig_worker.models.files import find_model
from tests.benchmarks.compare import Contestant, Setting
from tests.benchmarks.hindsight import (
    Enough,
    ErrorsAt,
    calibrate,
    enough_nodes,
    gauss_errors,
    in_pieces,
    product_errors,
)
from tests.benchmarks.peers import N_STEPS
from tests.benchmarks.process import ChildError, last_line
from tests.benchmarks.report import BEST
from tests.benchmarks.workload import load_documents

FIXED = f"ours, gausslegendre {N_STEPS}"
ADAPTIVE = "ours, adaptive"
LADDER = (*range(5, 30), *range(30, N_STEPS, 2), N_STEPS)  # nodes that are tried


@dataclass(frozen=True)
class Findings:
    """What is known before a race; None where it could not be found out.

    Args:
        pilot: its ``calibration``, as JSON, ``rows``, ``evaluations`` and ``seconds``.
        gauss: nodes of Gauss-Legendre.
        product: nodes of product integration.
    """

    pilot: Mapping[str, Any] | None = None
    gauss: Enough | None = None
    product: Enough | None = None

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> Findings:
        """Of what a scout has answered."""
        rules = (content[name] and Enough(**content[name]) for name in ("gauss", "product"))
        return cls(content["pilot"], *rules)

    @property
    def calibration(self) -> Mapping[str, Any] | None:
        return self.pilot and self.pilot["calibration"]


def find_out(
    setting: Setting,
    model: str,
    documents: str | None,
    pilot: str | None,
    tolerance: float,
    run: Mapping[str, Any] | None = None,
) -> Findings:
    """Run the pilot, and look for the best fixed rules, in a process that ends before the race.

    What was found is kept among the results, for the next race of the same.

    Args:
        setting: of the benchmark.
        model: directory of the network.
        documents: file of reviews for which the rules are to do; None: none are looked for.
        pilot: file of others; None: there is no pilot.
        tolerance: relative L1 error.
        run: what a pilot has said already; then there is no other.
    """
    path = setting.out / "findings.json"
    key = {"model": find_model(model).weights_digest, "tolerance": tolerance}
    key |= {"documents": documents and digest(documents), "pilot": run or (pilot and digest(pilot))}
    kept = json.loads(path.read_text()) if path.exists() else []
    for one in kept:
        if one["key"] == key:
            setting.say(f"what the pilot and hindsight say is taken from {path}")
            return Findings.of_json(one["findings"])
    found: dict[str, Any] = {"pilot": run, "gauss": None, "product": None}
    try:
        with setting.child("ours:Scout", model=model, documents=documents, tolerance=tolerance) as scout:
            if pilot and not run:
                found["pilot"] = scout.ask("pilot", documents=pilot)
            if documents:
                scout.ask("refine")
                found["gauss"] = scout.ask("gauss")
                found["product"] = scout.ask("product", calibration=found["pilot"] and found["pilot"]["calibration"])
        path.write_text(json.dumps([*kept, {"key": key, "findings": found}], indent=1) + "\n")
    except ChildError as error:
        setting.say(f"not all is known before the race: {last_line(error)}")
    return Findings.of_json(found)


def read_pilot(file: Path, model: str, tolerance: float) -> dict[str, Any]:
    """The largest pilot at a tolerance of a result of `tests.benchmarks.pilot`.

    Raises:
        ValueError: it is of another network, or has no pilot at this tolerance.
    """
    content = json.loads(file.read_text())
    pilots = [one for one in content["records"] if one.get("pilot") and one["tolerance"] == tolerance]
    if content["model"] != Path(model).name or not pilots:
        raise ValueError(f"{file} has no pilot of {Path(model).name} at {tolerance:g}")
    largest = max(pilots, key=lambda one: one["pilot"])
    return {"calibration": largest["calibration"], "rows": largest["pilot"], "evaluations": largest["pilot spent"]}


def digest(documents: str) -> str:
    """sha256 hex of what a file of documents holds; its bytes hold the time, too."""
    with np.load(documents) as arrays:
        content = b"".join(arrays[name].tobytes() for name in sorted(arrays.files))
    return hashlib.sha256(content).hexdigest()


def contestants(
    model: str, documents: str, copies: int, adaptive: Mapping[str, Any], found: Findings
) -> list[Contestant]:
    """This project's rows, *ours, adaptive* the last."""
    common = {"model": model, "documents": documents, "copies": copies}
    rows = []
    calibrated = common | {"calibration": found.calibration}
    if found.gauss is None or found.gauss.nodes != N_STEPS:
        rows.append(Contestant(FIXED, "Ours", common))
    if found.gauss is not None:
        arguments = common | {"nodes": found.gauss.nodes}
        name, note = f"ours, gausslegendre {found.gauss.nodes}", f"{BEST}, {_told(found.gauss)}"
        rows.append(Contestant(name, "Ours", arguments, note=note))
    if found.product is not None:
        arguments = calibrated | {"engine": "product", "nodes": found.product.nodes}
        name, note = f"ours, product integration {found.product.nodes}", f"so many always, {_told(found.product)}"
        rows.append(Contestant(name, "Ours", arguments, note=note))
    note = f"pilot of {found.pilot['rows']} other reviews" if found.pilot else ""
    return [*rows, Contestant(ADAPTIVE, "Ours", calibrated | {"engine": "adaptive", **adaptive}, note=note)]


def _told(found: Enough) -> str:
    return f"{'too few for ' + str(found.beyond) if found.short else 'in hindsight'} of {found.reviews} reviews"


class Scout:
    """Finds out what `Findings` tell; lives in a `process.Child`."""

    def __init__(self, threads: int, model: str, documents: str | None, tolerance: float) -> None:
        from ig_worker.explain.packing import BatchShape
        from ig_worker.explain.paths import PathPrograms
        from ig_worker.models.classifier import load_classifier
        from ig_worker.models.runtime import configure

        configure(threads)
        classifier = load_classifier(find_model(model))
        self._network = classifier.split("embeddings")
        self._shape = BatchShape(longest=classifier.shape.positions)
        self._programs = PathPrograms(self._network, self._shape)
        self._documents, self._tolerance = load_documents(documents) if documents else [], tolerance

    def pilot(self, documents: str) -> dict[str, Any]:
        """What a pilot of these documents says, as JSON, and what that cost; its seconds are those of tracing, too."""
        rows, begun = load_documents(documents), time.monotonic()
        _say(f"a pilot of {len(rows)} other reviews, some 40 evaluations each")
        known, evaluations = calibrate(self._network, self._programs, rows, self._tolerance, self._shape)
        seconds = time.monotonic() - begun
        _say(f"the pilot took {evaluations:.0f} evaluations and {seconds:.0f} s; certified: {known.certified}")
        return {"calibration": known.to_json(), "rows": len(rows), "evaluations": evaluations, "seconds": seconds}

    def refine(self) -> None:
        """Find the exact attributions."""
        from ig_worker.explain.refined import RefinedEngine

        engine = RefinedEngine(self._network, self._shape, self._programs)
        explained = in_pieces("the refined reference", self._documents, engine.explain)
        self._truth = [one.attributions for one in explained]
        self._targets = [one.target for one in explained]

    def gauss(self) -> dict[str, int]:
        """The fewest nodes of Gauss-Legendre on `LADDER` that do."""
        errors_at = gauss_errors(self._network, self._documents, self._targets, self._truth, self._shape)
        return self._enough("Gauss-Legendre", errors_at, LADDER)

    def product(self, calibration: Mapping[str, Any] | None) -> dict[str, int]:
        """The fewest nodes of product integration that do, where a pilot or all networks have them."""
        known = Calibration.of_json(calibration) if calibration else CAUTIOUS
        errors_at = product_errors(self._programs, self._documents, self._truth, known.spread, self._shape)
        return self._enough("product integration", errors_at, range(FEWEST, MOST + 1))

    def _enough(self, what: str, errors_at: ErrorsAt, ladder: Sequence[int]) -> dict[str, int]:
        def say(text: str) -> None:
            _say(f"{what}, {text}")

        return asdict(enough_nodes(errors_at, len(self._documents), ladder, self._tolerance, say))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
