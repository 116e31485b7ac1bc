"""RoBERTa (Liu et al. 2019, arXiv:1907.11692), and what is built like it: XLM-RoBERTa, CamemBERT, DistilRoBERTa.

Blocks are BERT's. Positions begin behind the padding id and are counted over ids that are not padding, so that of a
table of 514 rows a text can use 512. A baseline keeps the text's positions, whatever its ids are: were they counted
anew, as the network does by itself, a baseline of padding would have them all at one place, and the path would lead
from one order of the words to another.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ig_worker.errors import ModelError
from ig_worker.models.encoders.bert import SIZES, embed, encoder_weights
from ig_worker.models.encoders.encoder import Encoder, Parts, activated, two_layer_head, whole
from ig_worker.models.inputs import Counting, behind_padding
from ig_worker.models.keys import honoured
from ig_worker.models.layers import NetworkShape

COUNTED = honoured("positions begin behind it, and are counted over other ids", "pad_token_id")


def behind_the_padding(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of NetworkShape that say where positions begin.

    Raises:
        ModelError: the padding id leaves no position for a text.
    """
    padding, rows = config.get("pad_token_id"), whole(config, "max_position_embeddings")
    if type(padding) is not int or not 0 <= padding < rows - 1:
        raise ModelError(
            f"the model's config.json has pad_token_id {padding!r}, behind which positions begin",
            expected=f"a number from 0 that leaves some of the {rows} positions, such as 1",
        )
    return {"padding": padding, "unused_positions": padding + 1}


def counting(shape: NetworkShape) -> Counting:
    """How positions are counted."""
    return partial(behind_padding, padding=shape.padding)


def _weights(shape: NetworkShape) -> Parts:
    return encoder_weights(shape) | two_layer_head(shape, "classifier/dense", "classifier/out_proj")


def _encoder(name: str, title: str, classes: str, tokenizer: str) -> Encoder:
    return Encoder(
        name=name,
        title=title,
        classes=classes,
        prefix="roberta",
        tokenizer=tokenizer,
        sizes=SIZES,
        activation="hidden_act",
        epsilon="layer_norm_eps",
        dropouts=("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"),
        keys=COUNTED,
        usual={"pad_token_id": 1},
        further=behind_the_padding,
        weights=_weights,
        leftovers=r"lm_head\..+|pooler\.dense\..+",
        embed=embed,
        counting=counting,
        logits=partial(activated, activation="tanh"),
        adaptive_evaluations=20.0,
    )


ROBERTA = _encoder("roberta", "RoBERTa", "Roberta", "byte-level BPE")
XLM_ROBERTA = _encoder("xlm-roberta", "XLM-RoBERTa", "XLMRoberta", "SentencePiece")
CAMEMBERT = _encoder("camembert", "CamemBERT", "Camembert", "SentencePiece")
