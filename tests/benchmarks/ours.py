"""This project's own rows of the race, and what is found out for them beforehand.

A night's actors have what a pilot found out; so has *ours, adaptive*. The fixed rules beside it have what nobody knows
before a night: the fewest nodes that do for the very reviews that are explained.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ig_worker.explain.calibration import CAUTIOUS, Calibration
from ig_worker.explain.product import FEWEST, MOST
from tests.benchmarks.compare import Contestant, Setting
from tests.benchmarks.hindsight import (
    Enough,
    ErrorsAt,
    calibrate,
    enough_nodes,
    gauss_errors,
    predicted,
    product_errors,
)
from tests.benchmarks.peers import N_STEPS
from tests.benchmarks.process import ChildError, last_line
from tests.benchmarks.report import BEST
from tests.benchmarks.workload import load_documents

FIXED = f"ours, gausslegendre {N_STEPS}"
ADAPTIVE = "ours, adaptive"
LADDER = (*range(5, 20), *range(20, 30, 2), *range(30, N_STEPS, 4), N_STEPS)  # nodes that are tried


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

    @property
    def calibration(self) -> Mapping[str, Any] | None:
        return self.pilot and self.pilot["calibration"]


def find_out(
    setting: Setting, model: str, documents: str, *, pilot: str | None, reference: str | None, tolerance: float
) -> Findings:
    """Run the pilot, and look for the best fixed rules, in a process that ends before the race.

    Args:
        setting: of the benchmark.
        model: directory of the network.
        documents: file of the reviews that are explained.
        pilot: file of others; None: there is no pilot.
        reference: file of exact attributions of `documents`; None: no rules are looked for.
        tolerance: relative L1 error.
    """
    if pilot is None and reference is None:
        return Findings()
    try:
        with setting.child("ours:Scout", model=model, documents=documents, tolerance=tolerance) as scout:
            run = scout.ask("pilot", documents=pilot) if pilot else None
            known = run and run["calibration"]
            gauss = scout.ask("gauss", reference=reference) if reference else None
            product = scout.ask("product", reference=reference, calibration=known) if reference else None
    except ChildError as error:
        setting.say(f"no pilot and no best rules: {last_line(error)}")
        return Findings()
    return Findings(run, gauss and Enough(**gauss), product and Enough(**product))


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
    return f"too few for {found.beyond} of {found.reviews} reviews" if found.short else "in hindsight"


class Scout:
    """Finds out what `Findings` tell; lives in a `process.Child`."""

    def __init__(self, threads: int, model: str, documents: str, tolerance: float) -> None:
        from ig_worker.explain.packing import BatchShape
        from ig_worker.explain.paths import PathPrograms
        from ig_worker.models.classifier import load_classifier
        from ig_worker.models.files import find_model
        from ig_worker.models.runtime import configure

        configure(threads)
        classifier = load_classifier(find_model(model))
        self._network = classifier.split("embeddings")
        self._shape = BatchShape(longest=classifier.shape.positions)
        self._programs = PathPrograms(self._network, self._shape)
        self._documents, self._tolerance = load_documents(documents), tolerance

    def pilot(self, documents: str) -> dict[str, Any]:
        """What a pilot of these documents says, as JSON, and what that cost; its seconds are those of tracing, too."""
        rows, begun = load_documents(documents), time.monotonic()
        _say(f"a pilot of {len(rows)} other reviews, some 40 evaluations each")
        known, evaluations = calibrate(self._network, self._programs, rows, self._tolerance, self._shape)
        seconds = time.monotonic() - begun
        _say(f"the pilot took {evaluations:.0f} evaluations and {seconds:.0f} s; certified: {known.certified}")
        return {"calibration": known.to_json(), "rows": len(rows), "evaluations": evaluations, "seconds": seconds}

    def gauss(self, reference: str) -> dict[str, int]:
        """The fewest nodes of Gauss-Legendre on `LADDER` that do."""
        targets = predicted(self._programs, self._documents, self._shape)
        errors_at = gauss_errors(self._network, self._documents, targets, _read(reference), self._shape)
        return self._enough("Gauss-Legendre", errors_at, LADDER)

    def product(self, reference: str, calibration: Mapping[str, Any] | None) -> dict[str, int]:
        """The fewest nodes of product integration that do, where a pilot or all networks have them."""
        known = Calibration.of_json(calibration) if calibration else CAUTIOUS
        errors_at = product_errors(self._programs, self._documents, _read(reference), known.spread, self._shape)
        return self._enough("product integration", errors_at, range(FEWEST, MOST + 1))

    def _enough(self, what: str, errors_at: ErrorsAt, ladder: Sequence[int]) -> dict[str, int]:
        def say(text: str) -> None:
            _say(f"{what}, {text}")

        return asdict(enough_nodes(errors_at, len(self._documents), ladder, self._tolerance, say))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _read(reference: str) -> list[Any]:
    with np.load(reference) as exact:
        return [exact[name] for name in exact.files]
