"""Weights of a transformers network, from TensorFlow's files or PyTorch's safetensors, and which of them lack.

transformers leaves weights that lack random, with a warning; here the callers decide what may.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ig_worker.errors import ModelError
from ig_worker.models.files import ModelFiles

# What an encoder may lack, since it is trained or not used here. TensorFlow also names layers without weights.
_OPTIONAL = ("classifier", "pooler", "dropout")


def load_pretrained(factory: Any, files: ModelFiles, config: Any) -> Any:
    """A transformers network with the weights of `files`; a head that they lack, or that is of another size, is random.

    Args:
        factory: one of transformers' TFAutoModel classes.
        files: a directory that save_pretrained wrote, or a copy of a hub model.
        config: transformers' configuration of the network.

    Raises:
        ModelError: weights that cannot be read, or lack a part of the encoder.
    """
    model, missing = read_network(factory, files, config)
    lacking = missing_weights(missing)
    if lacking:
        raise ModelError(
            f"the weights in {files.name} lack {', '.join(lacking[:3])}",
            expected=f"a pretrained {files.shape.architecture} encoder",
            remedy="give another --base",
        )
    return model


def load_complete(factory: Any, files: ModelFiles) -> Any:
    """A transformers network all of whose weights are in `files`.

    Raises:
        ModelError: weights that cannot be read, or lack any part.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(files.directory, local_files_only=True, trust_remote_code=False)
    model, missing = read_network(factory, files, config)
    weightless = {layer.name for layer in model.layers if not layer.weights}  # such as dropout
    lacking = sorted(set(missing) - weightless)
    if lacking:
        raise ModelError(
            f"the weights in {files.name} lack {', '.join(lacking[:3])}",
            expected="a fine-tuned classifier, not a bare encoder",
            remedy="fine-tune it first, for instance with jobs.finetune",
        )
    return model


def missing_weights(names: Iterable[str]) -> list[str]:
    """Those of `names`, of weights or layers, without which an encoder is not one."""
    return sorted(name for name in names if not any(part in name for part in _OPTIONAL))


def read_network(factory: Any, files: ModelFiles, config: Any) -> tuple[Any, list[str]]:
    """A transformers network with the weights of `files`, and the names of those that lack or have another size.

    Raises:
        ModelError: weights that cannot be read.
    """
    try:
        pytorch = _is_pytorch(Path(files.directory))
        model, info = _from_pytorch(factory, files, config) if pytorch else _from_tensorflow(factory, files, config)
    except Exception as error:
        raise ModelError(
            f"the weights in {files.name} cannot be loaded ({type(error).__name__}: {error})",
            expected="weights that fit config.json",
            remedy="write them again with save_pretrained",
        ) from error
    return model, [*info["missing_keys"], *(key for key, *_ in info.get("mismatched_keys", ()))]


def _is_pytorch(directory: Path) -> bool:
    """Whether the only weights are PyTorch's, in safetensors."""
    from safetensors import safe_open

    path = directory / "model.safetensors"
    if not path.exists() or (directory / "tf_model.h5").exists():
        return False
    with safe_open(path, framework="np") as archive:
        return (archive.metadata() or {}).get("format") == "pt"


def _from_tensorflow(factory: Any, files: ModelFiles, config: Any) -> tuple[Any, Any]:
    # Hub models often have both; transformers would take the safetensors, which then are PyTorch's.
    both = (Path(files.directory) / "tf_model.h5").exists()
    return factory.from_pretrained(
        files.directory,
        config=config,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=False if both else None,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )


def _from_pytorch(factory: Any, files: ModelFiles, config: Any) -> tuple[Any, Any]:
    # transformers' own way iterates over an archive object that safetensors no longer lets it iterate over.
    from safetensors.numpy import load_file
    from transformers.modeling_tf_pytorch_utils import load_pytorch_state_dict_in_tf2_model

    model = factory.from_config(config)
    model.build_in_name_scope()
    return load_pytorch_state_dict_in_tf2_model(
        model,
        load_file(Path(files.directory) / "model.safetensors"),
        tf_inputs=False,
        allow_missing_keys=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
    )
