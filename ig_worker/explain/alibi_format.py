"""Explanations as alibi's own object, for code that was written against alibi."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ig_worker.errors import UsageError
from ig_worker.explain.explanation import Explanation
from ig_worker.explain.packing import stack
from ig_worker.explain.problems import Problem, batch


def as_alibi(
    problems: Sequence[Problem], explanations: Sequence[Explanation], length: int, pad: int, params: dict[str, Any]
) -> Any:
    """An `alibi.api.interfaces.Explanation` of problems padded to `length` tokens with the id `pad`.

    Its `attributions` are ``[float32 [problems, length, hidden]]``, `deltas` float64 [problems], `predictions`
    float32 [problems, classes]; `X`, `baselines` and `forward_kwargs` are what alibi would have been called with.

    Raises:
        UsageError: there are none, or they were made without the hidden axis.
    """
    from alibi.api.defaults import DEFAULT_DATA_INTGRAD, DEFAULT_META_INTGRAD
    from alibi.api.interfaces import Explanation as AlibiExplanation

    if not explanations:
        raise UsageError("no text is explained", expected="at least one, for alibi's explanation")
    kept = [explanation.hidden for explanation in explanations]
    if any(hidden is None for hidden in kept):
        raise UsageError(
            "alibi's attributions have a hidden axis, and these explanations have none",
            expected="texts explained with keep_hidden=True",
            remedy="call ig_worker.explain(..., keep_hidden=True)",
        )
    rows = len(problems)
    attributions = np.zeros((rows, length, kept[0].shape[1]), np.float32)  # type: ignore[union-attr]
    for row, hidden in enumerate(kept):
        attributions[row, : len(hidden)] = hidden  # type: ignore[arg-type]
    text, base = batch(problems, rows, length)
    present = stack([np.ones_like(problem.baseline) for problem in problems], rows, length)
    data = {
        **DEFAULT_DATA_INTGRAD,
        "attributions": [attributions],
        "X": np.where(present, text.ids, pad),
        "baselines": np.where(present, base, pad),
        "forward_kwargs": {"attention_mask": text.mask},
        "predictions": np.stack([explanation.probabilities for explanation in explanations]),
        "deltas": np.array([explanation.delta for explanation in explanations]),
        "target": np.array([explanation.target for explanation in explanations]),
    }
    return AlibiExplanation(meta={**DEFAULT_META_INTGRAD, "name": "IntegratedGradients", "params": params}, data=data)
