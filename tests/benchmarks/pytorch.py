"""captum's LayerIntegratedGradients over transformers' PyTorch networks, with weights that TensorFlow named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ig_worker.explain.problems import Problem, batch
from tests.benchmarks.weights import as_pytorch


def load(directory: str, attention: str) -> Any:
    """`network` of a directory that TensorFlow's save_pretrained, or a training, has written."""
    from safetensors.numpy import load_file
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(directory, local_files_only=True)
    return network(config, load_file(Path(directory) / "model.safetensors"), attention)


def network(config: Any, weights: Mapping[str, np.ndarray], attention: str) -> Any:
    """transformers' PyTorch classifier.

    Args:
        config: transformers' configuration.
        weights: by the names under which TensorFlow saves them.
        attention: ``eager`` or ``sdpa``.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    made = AutoModelForSequenceClassification.from_config(config, attn_implementation=attention).eval()
    state = {name: torch.from_numpy(value) for name, value in (as_pytorch(*pair) for pair in weights.items())}
    missing, unexpected = made.load_state_dict(state, strict=False)
    if missing or unexpected:
        raise ValueError(f"PyTorch's network lacks {missing[:3]} and does not know {unexpected[:3]}")
    return made


class CaptumEngine:
    """captum as its documentation calls it.

    Args:
        made: of `network`.
        length_multiple: texts of one call are padded to the longest, rounded up to a multiple of this.
        device: PyTorch's name of it.
    """

    def __init__(self, made: Any, length_multiple: int = 1, device: str = "cpu") -> None:
        import torch
        from captum.attr import LayerIntegratedGradients

        made = made.to(device)

        # These count positions by the ids, and would give a baseline others than its text.
        counted = made.config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet")

        def forward(ids: Any, mask: Any, positions: Any) -> Any:
            further = {"position_ids": positions} if counted else {}
            return torch.softmax(made(input_ids=ids, attention_mask=mask, **further).logits.float(), dim=-1)

        self._torch = torch
        self._device = device
        self._multiple = length_multiple
        self._forward = forward
        self._captum = LayerIntegratedGradients(forward, made.base_model.embeddings)

    def explain(self, problems: Sequence[Problem], internal_batch: int, n_steps: int) -> list[tuple[np.ndarray, float]]:
        """Attributions, float32 [tokens], and evaluations of each problem, all in one call of captum.

        The forward pass for the predicted class is half an evaluation.
        """
        torch = self._torch
        longest = max(problem.tokens for problem in problems)
        length = -(-longest // self._multiple) * self._multiple
        text, base = batch(problems, len(problems), length)
        ids, base, mask, positions = (
            torch.from_numpy(array).long().to(self._device) for array in (text.ids, base, text.mask, text.positions)
        )
        with torch.no_grad():
            target = self._forward(ids, mask, positions).argmax(-1)
        values = self._captum.attribute(
            ids,
            baselines=base,
            target=target,
            additional_forward_args=(mask, positions),
            n_steps=n_steps,
            method="gausslegendre",
            internal_batch_size=internal_batch,
        )
        sums = values.detach().sum(-1).float().cpu().numpy()
        return [(row[: problem.tokens], n_steps + 0.5) for row, problem in zip(sums, problems, strict=True)]
