"""The encoders whose classifiers are explained, by the ``model_type`` of their config.json: one file each."""

from __future__ import annotations

from ig_worker.models.encoders.bert import BERT
from ig_worker.models.encoders.distilbert import DISTILBERT
from ig_worker.models.encoders.encoder import Encoder

ENCODERS: dict[str, Encoder] = {"distilbert": DISTILBERT, "bert": BERT}
TITLES = sorted(encoder.title for encoder in ENCODERS.values())  # for messages
