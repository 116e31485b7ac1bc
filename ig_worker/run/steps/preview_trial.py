"""Trying a run on its first rows, in this process and without Ray: what a `Preview` is made of."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ig_worker.data.sources import Documents
from ig_worker.explain.predicted import predicted_labels
from ig_worker.models.files import ModelFiles
from ig_worker.models.layers import LABELS, VALUES
from ig_worker.run.config import ExplainConfig
from ig_worker.run.steps.preflight import assumptions
from ig_worker.run.steps.preview import Preview, Trial

if TYPE_CHECKING:
    from ig_worker.explain.packing import BatchShape
    from ig_worker.models.classifier import Classifier
    from ig_worker.models.network import SplitNetwork
    from ig_worker.models.tokenize import TextEncoder, Tokens

_SAMPLE_ROWS = 500
_SAMPLE_CHARACTERS = 2_000_000  # few texts of half a megabyte tell enough
_SHOWN_TEXTS = 3
_TRIAL_ROWS = 16
_EVALUATION = 2.0  # forward passes in the time of one evaluation, forward and gradient

Sample = tuple[str, str, int | None]  # text, second text or "", class number


def preview(config: ExplainConfig, files: ModelFiles, documents: Documents, *, network: bool) -> Preview:
    """What a run of these is about to do.

    Args:
        config: of the run.
        files: of the model.
        documents: of the run.
        network: whether to load the network and let it predict some rows; otherwise its tokenizer is all.

    Raises:
        ModelError: the tokenizer, or with `network` the network, is not what it seems to be.
        UsageError: the tokenizer lacks the token of ``--baseline``.
    """
    from ig_worker.explain.baselines import SpecialIds, baseline_ids  # TensorFlow: seconds
    from ig_worker.models.read_tokenizer import refuse_token_types
    from ig_worker.models.tokenize import TextEncoder
    from ig_worker.models.vocabulary import around, suspicious_setting

    classifier, tokenizer = _load(files, network)
    encoder = TextEncoder(tokenizer, config.text_style, config.max_length)
    paired = bool(config.pair_column)
    if paired:
        refuse_token_types(encoder.pair_template.most, files.shape.types)
    rows, looked_at = sample(documents, paired)
    texts = _columns(rows, paired)
    survey = encoder.survey(*texts)
    token = baseline_ids(np.array([-1], np.int32), config.baseline, SpecialIds.of(tokenizer))[0]
    before, behind = around(tokenizer) if config.text_style != "plain" else ([], [])
    special = [part.tokens for part in encoder.pair_template.around] if paired else [before, behind]
    return Preview(
        config=config,
        shape=files.shape,
        model=files.name,
        data=documents.name,
        rows=documents.rows,
        labels=documents.labels.line() if documents.labels.counts else "",
        first_tokens=tuple(tuple(one.tokens) for one in encoder.encode(*(column[:_SHOWN_TEXTS] for column in texts))),
        around=tuple(map(tuple, special)),
        special=tuple(tokenizer.all_special_tokens),
        baseline="" if config.baseline == "zeros" else tokenizer.convert_ids_to_tokens(int(token)),
        lengths=survey.lengths,
        tokens=survey.tokens,
        unknown=len(survey.unknown),
        without_text=(looked_at - len(rows), looked_at),
        suspicion=suspicious_setting(tokenizer, survey.unknown) if survey.unknown else "",
        kept=documents.kept_line,
        assumed=tuple(assumptions(config, files, documents)),
        trial=_try(classifier, encoder, config, rows, paired) if classifier is not None and rows else None,
    )


def _load(files: ModelFiles, network: bool) -> tuple[Classifier | None, Any]:
    """(the network where it is asked for, the tokenizer)."""
    if not network:
        from ig_worker.models.tokenize import load_tokenizer

        return None, load_tokenizer(files.directory, files.shape.vocabulary)
    from ig_worker.models.classifier import load_classifier

    classifier = load_classifier(files)
    return classifier, classifier.tokenizer


def sample(documents: Documents, paired: bool = False) -> tuple[list[Sample], int]:
    """(the first rows that have a text, or where they are `paired` both, number of rows that were looked at).

    At most some hundred, and no more text than is read in a second.
    """
    rows, looked_at, characters = [], 0, 0
    for text, pair, label in documents.first(_SAMPLE_ROWS):
        looked_at += 1
        text, pair = text or "", pair or ""
        if text.strip() and (pair.strip() or not paired):
            rows.append((text, pair, label))
            characters += len(text) + len(pair)
        if characters > _SAMPLE_CHARACTERS:
            break
    return rows, looked_at


def _columns(rows: Sequence[Sample], paired: bool) -> list[list[str]]:
    """The first texts, and where rows are `paired` the second ones."""
    firsts, seconds = [text for text, _, _ in rows], [pair for _, pair, _ in rows]
    return [firsts, seconds] if paired else [firsts]


def spread(rows: Sequence[Sample], count: int) -> list[Sample]:
    """So many of the rows, in turn of each label: files are often sorted by it."""
    by_label: dict[int | None, list[Sample]] = defaultdict(list)
    for row in rows:
        by_label[row[-1]].append(row)
    turns = [(turn, row) for group in by_label.values() for turn, row in enumerate(group)]
    return [row for _, row in sorted(turns, key=lambda item: item[0])[:count]]


def _try(
    classifier: Classifier, encoder: TextEncoder, config: ExplainConfig, rows: Sequence[Sample], paired: bool
) -> Trial:
    from ig_worker.explain.packing import BatchShape

    chosen = spread(rows, _TRIAL_ROWS)
    shape = BatchShape(config.length_multiple, BatchShape.batch_tokens, classifier.shape.longest)
    texts = encoder.encode(*_columns(chosen, paired))
    scores, seconds = _predict(classifier.split(config.layer), texts, shape)
    if classifier.shape.outputs == VALUES:
        span = float(scores.min()), float(scores.max())
        return Trial(len(chosen), 0, 0, seconds_a_token=_EVALUATION * seconds, span=span)
    several = classifier.shape.outputs == LABELS
    each = [predicted_labels(row, config.threshold) if several else [int(row.argmax())] for row in scores]
    labelled = [(p, label) for p, (*_, label) in zip(each, chosen, strict=True) if label is not None]
    counts = Counter(number for found in each for number in found)
    return Trial(
        rows=len(chosen),
        labelled=len(labelled),
        right=sum(p == [label] for p, label in labelled),
        predicted={classifier.shape.labels[number]: counts[number] for number in sorted(counts)},
        seconds_a_token=_EVALUATION * seconds,
    )


def _predict(network: SplitNetwork, texts: Sequence[Tokens], shape: BatchShape) -> tuple[np.ndarray, float]:
    """(outputs of each text, float32 [texts, classes], seconds that a forward pass takes for a token)."""
    from ig_worker.explain.packing import group_by_length, stack_texts

    found: dict[int, np.ndarray] = {}
    seconds: list[float] = []
    for group in group_by_length([len(text.inputs.ids) for text in texts], shape):
        for start in range(0, len(group.members), group.rows):
            members = group.members[start : start + group.rows]
            batch = stack_texts([texts[i].inputs for i in members], len(members), group.length)
            for _ in range(1 if seconds else 2):  # the very first pass compiles what the others use
                started = time.monotonic()
                scores = network.above(network.below(batch), batch.mask).numpy()
                taken = time.monotonic() - started
            seconds.append(taken / batch.ids.size)
            found |= dict(zip(members, scores, strict=True))
    return np.stack([found[i] for i in range(len(texts))]), min(seconds)
