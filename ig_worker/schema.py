"""The versioned Arrow schemas of every file that a run writes. Readers may rely on them."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

VERSION = "2"  # 1 had one row a text, of one window, and no columns of its targets and windows
READABLE = ("1", VERSION)

SEGMENTS = "segments"  # the column of attributions that only runs of pairs have
RANK = "rank"  # of a target among those of its text: 0 for the first

# What a model says of a text: classes that exclude each other; labels, of which each may apply; numbers.
CLASSES, LABELS, VALUES = OUTPUTS = ("classes", "labels", "values")
# What the data say of it. `label` is null where the model's outputs are not classes; then there is one column more.
LABEL_LISTS, VALUE = "labels", "value"
TRUTHS = {
    LABELS: pa.field(LABEL_LISTS, pa.list_(pa.int32())),  # numbers of the labels that apply, rising; null: unknown
    VALUES: pa.field(VALUE, pa.float32()),  # null: unknown
}

# Keys of the file metadata (Parquet footer).
META_VERSION = b"ig_worker.schema_version"
META_FINGERPRINT = b"ig_worker.fingerprint"
META_CHUNK = b"ig_worker.chunk"
META_FAULTS = b"ig_worker.faults"  # input chunks: JSON {position: [reason, detail]} found while sharding
META_QUARANTINED = b"ig_worker.quarantined"  # attributions: JSON list of quarantined positions
META_WRITER = b"ig_worker.writer"  # version of pyarrow that wrote the file
META_CONTENT = b"ig_worker.content"  # checksum of the values and of the entries above; see run.digest
META_QUARANTINE_FILE = b"ig_worker.quarantine_file"  # attributions: name of that chunk's quarantine file, or empty
META_TEXTS = b"ig_worker.texts"  # attributions: number of texts, which have a row or more each
META_EVALUATION = b"ig_worker.evaluation"  # evaluation: JSON of its settings

INPUT = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("text", pa.string()),
        pa.field("label", pa.int32()),
    ]
)


def inputs(pairs: bool = False, outputs: str = CLASSES, kept: Iterable[pa.Field] = ()) -> pa.Schema:
    """The columns of rows that are to be explained: `INPUT` and, in some runs, more.

    Args:
        pairs: whether each row has two texts; then `pair` is the second of them.
        outputs: what the model says, one of `OUTPUTS`; see `TRUTHS`.
        kept: further columns of the data set; see `kept_in`.
    """
    found = INPUT.insert(INPUT.names.index("text") + 1, pa.field("pair", pa.string())) if pairs else INPUT
    return pa.schema([*_with_truth(found, outputs), *kept])


def _with_truth(schema: pa.Schema, outputs: str) -> pa.Schema:
    truth = TRUTHS.get(outputs)
    return schema if truth is None else schema.insert(schema.names.index("label") + 1, truth)


def outputs_in(names: Iterable[str]) -> str:
    """Which of `OUTPUTS` rows with these columns are about."""
    known = set(names)
    return next((outputs for outputs, truth in TRUTHS.items() if truth.name in known), CLASSES)


ATTRIBUTIONS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("label", pa.int32()),
        pa.field("prediction", pa.int32(), nullable=False),
        pa.field("target", pa.int32(), nullable=False),
        pa.field("contrast", pa.int32()),  # F = P_target - P_contrast; null: F = P_target
        # Of the targets of a text, from 0. Its rows follow each other in that order.
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("probabilities", pa.list_(pa.float32()), nullable=False),  # [classes]
        pa.field("target_probability", pa.float32(), nullable=False),  # F(x)
        pa.field("baseline_probability", pa.float32(), nullable=False),  # F(x')
        pa.field("tokens", pa.list_(pa.string()), nullable=False),  # [tokens]
        pa.field("input_ids", pa.list_(pa.int32()), nullable=False),  # [tokens]
        pa.field("word_ids", pa.list_(pa.int32()), nullable=False),  # [tokens], -1 for special tokens
        pa.field("attributions", pa.list_(pa.float32()), nullable=False),  # [tokens]
        pa.field("delta", pa.float32(), nullable=False),  # sum of attributions - (F(x) - F(x'))
        pa.field("error_estimate", pa.float32()),  # relative L1, null for fixed rules
        pa.field(
            "evaluations", pa.float32(), nullable=False
        ),  # forward and gradient 1, forward alone 0.5; baselines that are shared 0
        pa.field("status", pa.string(), nullable=False),  # fixed | converged | evaluation_limit
        pa.field("truncated", pa.bool_(), nullable=False),
        pa.field("windows", pa.int32(), nullable=False),  # that the network read; probabilities are their means
    ]
)


def attributions(
    hidden: int | None = None,
    pairs: bool = False,
    outputs: str = CLASSES,
    version: str = VERSION,
    kept: Iterable[pa.Field] = (),
) -> pa.Schema:
    """The columns of explained rows: `ATTRIBUTIONS` and, in some runs, more.

    Args:
        hidden: units that are kept, as alibi's (tokens, hidden) array of every row; None: they are not.
        pairs: whether each row has two texts. Then `segments` says of which a token is: 0 of the first, 1 of the
            second, -1 of neither, which are the special tokens around and between them.
        outputs: what the model says, one of `OUTPUTS`; see `TRUTHS`.
        version: of the schema; before 2 there were no columns for several targets of a text.
        kept: further columns of the data set, the same for each target of a text; see `kept_in`.
    """
    found = _with_truth(ATTRIBUTIONS, outputs)
    if version == "1":
        found = pa.schema([field for field in found if field.name not in ("contrast", RANK, "windows")])
    if pairs:
        segments = pa.field(SEGMENTS, pa.list_(pa.int32()), nullable=False)  # [tokens]
        found = found.insert(found.names.index("word_ids") + 1, segments)
    found = pa.schema([*found, *kept])
    if hidden is not None:
        units = pa.list_(pa.list_(pa.float32(), hidden))  # [tokens][hidden]
        found = found.append(pa.field("hidden_attributions", units, nullable=False))
    return found


# What no column that is kept of a data set may be called.
OWN = frozenset(
    {
        *inputs(pairs=True).names,
        *attributions(hidden=1, pairs=True).names,
        *(truth.name for truth in TRUTHS.values()),
        "fault",  # of a row, on its way from a reader to its chunk
    }
)


def kept_in(found: pa.Schema) -> list[str]:
    """Names of the columns of a data set that a run keeps (`--keep-columns`), in their order.

    They are told by their names: none of them is called as a column of the run's own.

    Args:
        found: of rows that are to be explained, or of `attributions`; any selection of their columns.
    """
    return [name for name in found.names if name not in OWN]


QUARANTINE = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("chunk", pa.int32(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),  # row within the chunk, from 0
        pa.field("label", pa.int32()),
        pa.field("reason", pa.string(), nullable=False),  # short code, such as empty_text
        pa.field("detail", pa.string(), nullable=False),  # one line for a person
        pa.field("traceback", pa.string()),  # null where no exception was raised
    ]
)

AUDIT = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("chunk", pa.int32(), nullable=False),
        pa.field("target", pa.int32(), nullable=False),
        pa.field("contrast", pa.int32()),
        pa.field("relative_l1", pa.float32(), nullable=False),  # this engine against alibi
        pa.field("max_abs_difference", pa.float32(), nullable=False),
        pa.field("delta_difference", pa.float32(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("n_steps", pa.int32(), nullable=False),
        # Adaptive runs only: what was written, against the refined reference, and what was said of its error.
        pa.field("refined_relative_l1", pa.float32()),
        pa.field("error_estimate", pa.float32()),
    ]
)

EVALUATION = pa.schema(  # one row per text and ranking; see explain.perturb
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),  # by which the tokens are ranked; see run.evaluation
        pa.field("target", pa.int32(), nullable=False),
        pa.field("counts", pa.list_(pa.int32()), nullable=False),  # tokens taken, from 0 to all ordinary ones
        pa.field("deletion", pa.list_(pa.float32()), nullable=False),  # F without the first so many of the ranking
        pa.field("insertion", pa.list_(pa.float32()), nullable=False),  # F with only these of the ordinary tokens
    ]
)


def with_metadata(schema: pa.Schema, **entries: str) -> pa.Schema:
    """`schema` with the schema version and `entries` (``fingerprint="..."``) in its file metadata."""
    names = {
        "fingerprint": META_FINGERPRINT,
        "chunk": META_CHUNK,
        "faults": META_FAULTS,
        "quarantined": META_QUARANTINED,
        "quarantine_file": META_QUARANTINE_FILE,
        "evaluation": META_EVALUATION,
        "texts": META_TEXTS,
    }
    metadata = {META_VERSION: VERSION.encode()}
    metadata.update({names[key]: value.encode() for key, value in entries.items()})
    return schema.with_metadata(metadata)
