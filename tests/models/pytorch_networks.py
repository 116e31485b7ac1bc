"""What transformers' PyTorch networks make of the tiny networks in `kinds`: run where torch is.

    PYTHONPATH=.bench/packages python -m tests.models.pytorch_networks tests/models/golden

writes a file of each kind, which the tests hold the functions of `models.network` against. `make test-all` does the
same into another folder and compares, so that no file can be of older code.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.models.kinds import KINDS, save_kind, shape_of, texts


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        np.savez_compressed(folder / f"{kind}.npz", **outputs(kind))
        print(kind)


def outputs(kind: str) -> dict[str, np.ndarray]:
    """Logits, all hidden states, and the gradient of the first logit's sum in the embeddings' output, float32.

    Computed in float64, so that what is compared with them has its own rounding alone; but for ModernBERT, whose mask
    is cast to float32 and becomes infinite.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    with tempfile.TemporaryDirectory() as folder:
        save_kind(Path(folder), kind)
        model, told = AutoModelForSequenceClassification.from_pretrained(
            folder, attn_implementation="eager", output_loading_info=True
        )
    if any(told.values()):
        raise SystemExit(f"{kind}: transformers does not read the weights as they are meant: {told}")
    model = model.eval() if kind.startswith("modernbert") else model.double().eval()
    shape = shape_of(kind)
    ids, mask, types = (torch.tensor(part, dtype=torch.long) for part in texts(shape))
    further: dict[str, Any] = {"token_type_ids": types} if shape.types else {}
    found = model(input_ids=ids, attention_mask=mask, output_hidden_states=True, **further)
    first = found.hidden_states[0]
    (gradient,) = torch.autograd.grad(found.logits[:, 0].sum(), first)
    states = {f"hidden_{i}": state for i, state in enumerate(found.hidden_states)}
    arrays = {"logits": found.logits, "gradient": gradient, **states}
    return {name: tensor.detach().numpy().astype(np.float32) for name, tensor in arrays.items()}


if __name__ == "__main__":
    main()
