"""Everything that is timed, behind one face; each lives in a `process.Child` of its own.

A peer has `sweep` (alibi and captum: seconds an evaluation for some internal batch sizes), `warm_up` and `round`,
which explains all documents and says how long that took; `attributions` writes what the last round found.
"""

from __future__ import annotations

import functools
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ig_worker.explain.explanation import ENDS
from tests.benchmarks import pytorch
from tests.benchmarks.hindsight import by_nodes
from tests.benchmarks.process import peak_memory
from tests.benchmarks.workload import load_documents

N_STEPS = 50  # of the fixed rule, for all


class Peer:
    """Documents, a clock and the last result."""

    def __init__(self, documents: str, copies: int = 1) -> None:
        self.documents = load_documents(documents) * copies
        self._distinct = len(self.documents) // copies
        self._found: list[tuple[np.ndarray, float]] = []  # attributions and evaluations of each document

    def explain(self, documents: Sequence[Any]) -> list[tuple[np.ndarray, float]]:
        """Attributions, float32 [tokens], and evaluations of each document."""
        raise NotImplementedError

    def warm_up(self) -> None:
        """Do once what later calls need not do again: trace programs, fill caches."""
        self.explain(self.documents[:1])

    def round(self) -> dict[str, float]:
        """Explain all documents: seconds, reviews, mean evaluations a review, and peak memory in bytes so far."""
        begun = time.perf_counter()
        self._found = self.explain(self.documents)
        seconds = time.perf_counter() - begun
        evaluations = float(np.mean([evaluations for _, evaluations in self._found]))
        return {
            "seconds": seconds,
            "reviews": len(self.documents),
            "evaluations": evaluations,
            "peak_memory": peak_memory(),
        }

    def attributions(self, path: str) -> None:
        """Write the last round's attributions: arrays in order of the documents, copies left out."""
        np.savez(path, *[values for values, _ in self._found[: self._distinct]])


class Ours(Peer):
    """An engine of this project.

    Args:
        engine: ``fixed`` (Gauss-Legendre), ``product`` (product integration), ``adaptive`` or ``refined``.
        nodes: of ``fixed`` and ``product``.
        tolerance, max_evaluations: of ``adaptive``.
        calibration: of ``product`` and ``adaptive``, as JSON; None is what networks have in common.
        length_multiple, batch_tokens: see `packing.BatchShape`.
        without: exact savings to take away, see `savings`.
        jit: compile with XLA.
    """

    def __init__(
        self,
        threads: int,
        documents: str,
        model: str,
        engine: str = "fixed",
        copies: int = 1,
        nodes: int = N_STEPS,
        tolerance: float = 0.005,
        max_evaluations: int = 64,
        calibration: Mapping[str, Any] | None = None,
        length_multiple: int = 32,
        batch_tokens: int = 2048,
        without: Sequence[str] = (),
        jit: bool = False,
    ) -> None:
        super().__init__(documents, copies)
        from ig_worker.explain.packing import BatchShape
        from ig_worker.models.runtime import configure, tf
        from tests.benchmarks import savings

        configure(threads)
        if jit:  # the engine has no such setting: this process's tf.function compiles whatever it is given
            tf.function = functools.partial(tf.function, jit_compile=True)
        classifier = _classifier(model)
        network = savings.take_away(classifier, without)
        shape = BatchShape(length_multiple, batch_tokens, classifier.shape.positions)
        self._engine = make_engine(engine, network, shape, tolerance, max_evaluations, nodes, calibration)

    def warm_up(self) -> None:
        self.explain(self.documents[: self._distinct])  # every length has programs of its own

    def explain(self, documents: Sequence[Any]) -> list[tuple[np.ndarray, float]]:
        return [(found.attributions, found.evaluations) for found in self._engine.explain(documents)]


def make_engine(
    kind: str,
    network: Any,
    shape: Any,
    tolerance: float,
    max_evaluations: int,
    nodes: int = N_STEPS,
    calibration: Mapping[str, Any] | None = None,
) -> Any:
    """The one place that knows how this project's engines are made."""
    from ig_worker.explain.calibration import CAUTIOUS, Calibration

    known = Calibration.of_json(calibration) if calibration else CAUTIOUS
    if kind == "adaptive":
        from ig_worker.explain.adaptive import AdaptiveEngine
        from ig_worker.models.runtime import lanes

        return AdaptiveEngine(network, tolerance, max_evaluations, shape, calibration=known, lanes=lanes())
    if kind == "product":
        return ProductRule(network, shape, nodes, known.spread)
    if kind == "refined":
        from ig_worker.explain.refined import RefinedEngine

        return RefinedEngine(network, shape)
    from ig_worker.explain.fused import FusedEngine
    from ig_worker.explain.rules import fixed_rule

    return FusedEngine(network, fixed_rule("gausslegendre", nodes), shape)


class Attributed(NamedTuple):
    """What a rule without an estimate of its own gives."""

    attributions: np.ndarray
    evaluations: float


class ProductRule:
    """Product integration with one number of nodes for all texts."""

    def __init__(self, network: Any, shape: Any, nodes: int, spread: Any) -> None:
        from ig_worker.explain.paths import PathPrograms

        self._programs = PathPrograms(network, shape)
        self._nodes, self._spread, self._shape = nodes, spread, shape

    def explain(self, problems: Sequence[Any]) -> list[Attributed]:
        found = by_nodes(self._programs, problems, self._nodes, self._spread, self._shape)
        return [Attributed(values, self._nodes + ENDS) for values in found]


class Alibi(Peer):
    """alibi as its tutorials call it: one call of `explain` for a few padded texts.

    Args:
        internal_batch: evaluations that alibi runs at once.
        length_multiple: 256 pads all texts to that, as the tutorials do; 1 pads none.
        together: texts in one call.
    """

    def __init__(
        self,
        threads: int,
        documents: str,
        model: str,
        internal_batch: int = 5,
        length_multiple: int = 256,
        together: int = 2,
    ) -> None:
        super().__init__(documents)
        from ig_worker.explain.packing import BatchShape
        from ig_worker.models.runtime import configure

        configure(threads)
        logging.disable(logging.WARNING)
        self._classifier = _classifier(model)
        self._shape = BatchShape(length_multiple, 256 * together, self._classifier.shape.positions)
        self._together = together
        self._engine = self._make(internal_batch, N_STEPS)

    def _make(self, internal_batch: int, n_steps: int) -> Any:
        from ig_worker.explain.reference import AlibiEngine

        return AlibiEngine(self._classifier, "embeddings", "gausslegendre", n_steps, internal_batch, self._shape)

    def warm_up(self) -> None:
        self._make(5, 2).explain(self.documents[:1])  # it runs eagerly: nothing to compile

    def sweep(self, internal_batches: list[int]) -> list[float]:
        """Seconds an evaluation on the median document for each internal batch size."""
        documents = [self.documents[len(self.documents) // 2]] * self._together
        self.warm_up()
        return [
            _seconds(lambda n, b=b: self._make(b, n).explain(documents), b, self._together) for b in internal_batches
        ]

    def explain(self, documents: Sequence[Any]) -> list[tuple[np.ndarray, float]]:
        return [(found.attributions, found.evaluations) for found in self._engine.explain(documents)]


class Captum(Peer):
    """captum's LayerIntegratedGradients over transformers' PyTorch network with the same weights.

    Args:
        attention: ``eager`` or ``sdpa``.
        internal_batch: evaluations that captum runs at once.
        length_multiple: 256 pads all texts to that; 1 pads none.
        together: texts in one call, where they are padded to one length.
    """

    def __init__(
        self,
        threads: int,
        documents: str,
        model: str,
        attention: str = "sdpa",
        internal_batch: int = 10,
        length_multiple: int = 1,
        together: int = 1,
    ) -> None:
        super().__init__(documents)
        os.environ["USE_TF"] = "0"
        import torch

        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
        self._engine = pytorch.CaptumEngine(pytorch.load(model, attention), length_multiple)
        self._internal_batch = internal_batch
        self._together = together

    def warm_up(self) -> None:
        self._engine.explain(self.documents[:1], 5, 2)

    def sweep(self, internal_batches: list[int]) -> list[float]:
        """Seconds an evaluation on the median document for each internal batch size."""
        documents = [self.documents[len(self.documents) // 2]] * self._together
        self.warm_up()
        return [
            _seconds(lambda n, b=b: self._engine.explain(documents, b, n), b, self._together) for b in internal_batches
        ]

    def explain(self, documents: Sequence[Any]) -> list[tuple[np.ndarray, float]]:
        found = []
        for start in range(0, len(documents), self._together):
            found += self._engine.explain(documents[start : start + self._together], self._internal_batch, N_STEPS)
        return found


def _seconds(run: Callable[[int], object], internal_batch: int, together: int) -> float:
    """Seconds an evaluation, the best of up to three tries within about 3 s.

    The rule has so few nodes, as long as they fill the batch, that a sweep over a large network takes minutes.
    """
    nodes, best = max(-(-internal_batch // together), 10), float("inf")
    end = time.perf_counter() + 3
    for _ in range(3):
        begun = time.perf_counter()
        run(nodes)
        best = min(best, (time.perf_counter() - begun) / (nodes * together))
        if time.perf_counter() > end:
            break
    return best


def _classifier(model: str) -> Any:
    from ig_worker.models.classifier import load_classifier
    from ig_worker.models.files import find_model

    return load_classifier(find_model(model))
