"""Whether the pure functions of `network` compute what transformers' own network of the same files computes.

It finds what no list of configuration keys foresees. Making transformers' network takes half of a load, so a machine
remembers which models it has found to agree.
"""

from __future__ import annotations

import hashlib
import logging
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ig_worker.data.access import cache_folder
from ig_worker.errors import ModelError, UsageError
from ig_worker.models import network
from ig_worker.models.encoders import ENCODERS, counting_of
from ig_worker.models.files import ModelFiles
from ig_worker.models.inputs import ModelInput
from ig_worker.models.layers import NetworkShape, Weights
from ig_worker.models.pretrained import reference_network
from ig_worker.models.runtime import device_kind, products, tf

log = logging.getLogger(__name__)

_TOKENS = 12
# Largest difference of a logit, relative to the largest one, or absolute where that is below 1. On a DistilBERT of six
# blocks and a MiniLM of six, rounding made 3e-6 and 3e-7 of it; the approximation of gelu in its place made 9e-4 and
# 6e-4, an epsilon of 1e-5 in place of 1e-12 made 1e-3 and 9e-4.
_TOLERANCE = 1e-4


def require_agreement_once(files: ModelFiles, weights: Weights) -> None:
    """`require_agreement` of a model's files, unless this machine has found it with the same code, versions and device.

    Raises:
        ModelError: as `require_agreement`, or transformers cannot make the network.
    """
    encoder = ENCODERS[files.shape.architecture]
    if not encoder.tensorflow:
        log.info("transformers has no TensorFlow network of %s to hold this one against", encoder.title)
        return
    try:
        mark = cache_folder() / "agreed" / _key(files)
        if mark.is_file():
            return
    except (OSError, UsageError) as error:
        log.info("whether the model was checked before cannot be known: %s", error)
        mark = None
    require_agreement(reference_network(files, weights), weights, files.shape)
    if mark is not None:
        try:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
        except OSError as error:
            log.info("that the model was checked is not remembered: %s", error)


def _key(files: ModelFiles) -> str:
    """A digest of all that the outcome depends on."""
    total = hashlib.sha256(files.weights_digest.encode())
    total.update(f"{version('tensorflow')} {version('transformers')} {device_kind()}".encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        total.update(path.read_bytes())
    return total.hexdigest()[:32]


def require_agreement(keras_model: Any, weights: Weights, shape: NetworkShape) -> None:
    """Put two texts, of which one is padded, through both networks.

    Raises:
        ModelError: their logits differ by more than rounding.
    """
    length = min(_TOKENS, shape.longest) if shape.head is None else shape.head.length
    ids = np.random.default_rng(0).integers(0, shape.vocabulary, (2, length), np.int32)
    mask = np.ones_like(ids)
    mask[1, max(length // 2, 1) :] = 0
    types = np.zeros_like(ids)
    # As in the second of two texts; a head on all positions reads one text alone.
    types[:, length // 2 :] = shape.types > 1 and shape.head is None
    text = ModelInput.single(ids, mask, counting_of(shape), types)
    with products("float32"):
        further = {"position_ids": tf.constant(text.positions)} if shape.told_positions else {}
        if types.any():
            further["token_type_ids"] = tf.constant(types)
        theirs = keras_model(input_ids=tf.constant(ids), attention_mask=tf.constant(mask), **further).logits.numpy()
        halves = network.split(weights, shape, depth=0)
        h = halves.below(ModelInput(*map(tf.constant, text)))
        z = halves.encode(halves.project(h), tf.constant(mask))
        ours = network.logits(weights, shape, z).numpy()
    difference = float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1.0))
    if not difference <= _TOLERANCE:  # nan neither
        raise ModelError(
            f"transformers' own network gives logits that differ by {difference:.1e} of their size from those here",
            expected=f"at most {_TOLERANCE:g}: the network is not what config.json seems to say",
            remedy="please report it with the model's config.json; nothing was explained",
        )
