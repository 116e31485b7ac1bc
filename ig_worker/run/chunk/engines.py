"""The engines that work on a run's chunks, by what each is for."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING

from ig_worker.explain.calibration import Calibration
from ig_worker.explain.in_tf32 import in_precision
from ig_worker.explain.methods import ADAPTIVE, ALIBI, FUSED, Known, build_engine
from ig_worker.explain.packing import BatchShape
from ig_worker.explain.precision import FLOAT32, TF32, concrete
from ig_worker.explain.problems import Engine
from ig_worker.run.chunk.records import UNBOUND, Binding
from ig_worker.run.config import ExplainConfig

if TYPE_CHECKING:  # TensorFlow: seconds
    from ig_worker.explain.forward import Forward
    from ig_worker.explain.paths import PathPrograms
    from ig_worker.models.classifier import Classifier

AUDIT_METHOD, AUDIT_STEPS = "gausslegendre", 50


class Purpose(Enum):
    """What an engine is for."""

    RUN = "run"  # what the settings ask for
    AUDIT = "audit"  # the fused engine at alibi's rule
    ALIBI = "alibi"
    REFINED = "refined"  # the reference for adaptive runs


class Engines:
    """Each is made once: its compiled programs are worth keeping.

    Args:
        config: of the run.
        classifier: that is explained.
    """

    def __init__(self, config: ExplainConfig, classifier: Classifier) -> None:
        self._config, self._classifier = config, classifier
        self._engines: dict[tuple[Purpose, int, Calibration | None, str], Engine] = {}
        self._traced: dict[str, PathPrograms] = {}  # by their precision: tracing takes seconds

    def of(self, purpose: Purpose, binding: Binding = UNBOUND) -> Engine:
        """The engine for a purpose, in a run that is bound so."""
        key = purpose, binding.batch_tokens, binding.calibration, self.precision(binding)
        if key not in self._engines:
            self._engines[key] = self._make(purpose, binding)
        return self._engines[key]

    def precision(self, binding: Binding) -> str:
        """Of matrix products."""
        return concrete(binding.precision or self._config.precision)

    def _make(self, purpose: Purpose, binding: Binding) -> Engine:
        config, shape = replace(self._config, precision=self.precision(binding)), self.shape(binding.batch_tokens)
        if purpose is Purpose.REFINED:
            from ig_worker.explain.refined import RefinedEngine

            return RefinedEngine(self._classifier.split(config.layer), shape, self._traced.get(FLOAT32))
        if purpose is not Purpose.RUN:
            config = replace(
                config, engine=ALIBI if purpose is Purpose.ALIBI else FUSED, method=AUDIT_METHOD, n_steps=AUDIT_STEPS,
                precision=FLOAT32, keep_hidden=False,
            )  # fmt: skip
        own = config.method == ADAPTIVE and not config.keep_hidden
        programs = self.programs(config.precision) if own else None
        return build_engine(
            config, self._classifier, shape, known=Known(binding.calibration, programs, self._config.lanes)
        )

    def programs(self, precision: str) -> PathPrograms:
        """What multiplies in a precision; those in float32 are the refined reference's, too."""
        from ig_worker.explain.paths import PathPrograms

        name = FLOAT32 if precision == TF32 else precision  # the same programs, run in another way
        if name not in self._traced:
            self._traced[name] = PathPrograms(self._classifier.split(self._config.layer, name), self.shape(0))
        return in_precision(self._traced[name], precision)

    def shape(self, batch_tokens: int) -> BatchShape:
        """Of batches; 0 tokens leaves their number to the settings."""
        tokens = batch_tokens or self._config.batch_tokens or BatchShape.batch_tokens
        return BatchShape(self._config.length_multiple, tokens, self._classifier.shape.longest)

    @cached_property
    def forward(self) -> Forward:
        """What only evaluates the network."""
        from ig_worker.explain.forward import Forward

        precision = self.precision(UNBOUND)
        network = self._classifier.split(self._config.layer, precision)
        return in_precision(Forward(network, self.shape(0)), precision)
