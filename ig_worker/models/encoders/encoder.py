"""What differs between encoders, as a value. Needs no TensorFlow: functions import it when they are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ig_worker.models.keys import Key
from ig_worker.models.layers import NetworkShape, Tensor, Weights


@dataclass(frozen=True)
class Encoder:
    """An encoder: how its files are read, and where its arithmetic is its own. `models.network` has what all share.

    Weights are named by the end of transformers' TensorFlow name, without ``kernel``, ``bias`` and the like where the
    weight has several parts; ``{k}`` is the number of the block.
    """

    name: str  # model_type in config.json, and the encoder's part of the network in files
    title: str  # for people
    classes: str  # how transformers' class names begin: Bert of BertConfig and TFBertForSequenceClassification

    sizes: Mapping[str, str]  # field of NetworkShape -> key of config.json
    activation: str  # key of config.json
    epsilon: str | None  # key of config.json; None: always 1e-12
    dropouts: tuple[str, ...]  # keys of config.json that only training reads
    second_names: Mapping[str, str] = field(default_factory=dict)  # key of config.json -> another name, which wins
    keys: Mapping[str, Key] = field(default_factory=dict)  # what becomes of any other key

    tables: Mapping[str, tuple[str, str]] = field(kw_only=True)  # embedding -> its weight, field of NetworkShape: rows
    dense: Mapping[str, str] = field(kw_only=True)  # of a block
    norms: Mapping[str, str] = field(kw_only=True)  # of a block
    head: Mapping[str, str] = field(kw_only=True)  # of transformers' classifier
    pretraining: str = field(kw_only=True)  # pattern of tensors that only pretraining has, in PyTorch's names

    # (weights, shape, token ids int32 [batch, tokens]) -> float32 [batch, tokens, hidden]
    embed: Callable[[Weights, NetworkShape, Tensor], Tensor] = field(kw_only=True)
    head_activation: str = field(kw_only=True)  # of transformers' classifier
    adaptive_evaluations: float = field(kw_only=True)  # of a row by the adaptive method, as a guess
