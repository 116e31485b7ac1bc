"""safetensors that PyTorch wrote load without torch."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest

from ig_worker.models.files import find_model
from tests.models.checkpoints import as_pytorch, pytorch_state
from tests.tiny import IN_TENSORFLOW

IDS = np.array([[2, 5, 8, 11, 3]], np.int32)
MASK = np.ones_like(IDS)


@pytest.mark.parametrize("beside", [[], ["tf_model.h5"]])
@pytest.mark.parametrize("architecture", IN_TENSORFLOW)
def test_pytorch_safetensors_give_the_same_network(tiny_models, tmp_path: Path, architecture, beside) -> None:
    from safetensors.numpy import save_file

    from ig_worker.models.classifier import load_classifier
    from ig_worker.models.pretrained import reference_network

    if importlib.util.find_spec("torch"):
        pytest.skip("torch is installed here, so this would not show that it is not needed")
    files = find_model(str(tiny_models[architecture]))
    ours = load_classifier(files)
    directory = Path(shutil.copytree(tiny_models[architecture], tmp_path / "pytorch"))
    if not beside:  # hub models often have both
        (directory / "tf_model.h5").unlink()
    save_file(
        as_pytorch(reference_network(files, ours.weights).weights),
        directory / "model.safetensors",
        metadata={"format": "pt"},
    )
    theirs = load_classifier(find_model(str(directory)))
    for name, weight in ours.weights.items():
        np.testing.assert_array_equal(theirs.weights[name].numpy(), weight.numpy(), err_msg=name)


def test_a_bare_encoder_is_refused_instead_of_explained_with_a_random_head(tiny_models, tmp_path: Path) -> None:
    from transformers import TFAutoModel

    from ig_worker.errors import ModelError
    from ig_worker.models.classifier import load_classifier

    directory = Path(shutil.copytree(tiny_models["distilbert"], tmp_path / "bare"))
    encoder = TFAutoModel.from_pretrained(directory)
    encoder.save_pretrained(directory)
    with pytest.raises(
        ModelError, match=r"architectures \['DistilBertModel'\], .* without a trained head.*fine-tune it"
    ):
        load_classifier(find_model(str(directory)))


def test_pytorch_weights_without_a_head_are_refused(tiny_models, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    from ig_worker.errors import ModelError
    from ig_worker.models.classifier import load_classifier

    directory = Path(shutil.copytree(tiny_models["bert"], tmp_path / "bare"))
    next(directory.glob("*.h5")).unlink()
    state = pytorch_state(tiny_models["bert"])
    save_file(
        {name: values for name, values in state.items() if "classifier" not in name},
        directory / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(ModelError, match=r"lack classifier\.bias, classifier\.weight"):
        load_classifier(find_model(str(directory)))


def test_a_head_without_its_file_is_one_clear_error(tiny_models, tmp_path: Path) -> None:
    from ig_worker.errors import ModelError
    from ig_worker.models.classifier import load_classifier

    directory = Path(shutil.copytree(tiny_models["bert-head"], tmp_path / "headless"))
    (directory / "head.safetensors").unlink()
    with pytest.raises(ModelError, match=r"headless has no head\.safetensors"):
        load_classifier(find_model(str(directory)))
