"""The encoders whose classifiers are explained, by the ``model_type`` of their config.json: one file each."""

from __future__ import annotations

from ig_worker.models.encoders.albert import ALBERT
from ig_worker.models.encoders.bert import BERT
from ig_worker.models.encoders.deberta_v2 import DEBERTA_V2
from ig_worker.models.encoders.distilbert import DISTILBERT
from ig_worker.models.encoders.electra import ELECTRA
from ig_worker.models.encoders.encoder import Encoder
from ig_worker.models.encoders.modernbert import MODERNBERT
from ig_worker.models.encoders.mpnet import MPNET
from ig_worker.models.encoders.roberta import CAMEMBERT, ROBERTA, XLM_ROBERTA
from ig_worker.models.inputs import Counting
from ig_worker.models.layers import NetworkShape

ENCODERS: dict[str, Encoder] = {
    encoder.name: encoder
    for encoder in (DISTILBERT, BERT, ROBERTA, XLM_ROBERTA, CAMEMBERT, ELECTRA, ALBERT, MPNET, DEBERTA_V2, MODERNBERT)
}

TITLES = sorted(encoder.title for encoder in ENCODERS.values())  # for messages


def counting_of(shape: NetworkShape) -> Counting:
    """How a network counts the positions of a text's tokens."""
    return ENCODERS[shape.architecture].counting(shape)
