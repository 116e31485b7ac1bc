"""The frozen configuration of a run: every setting once, with its default, its help text and its place there.

Settings marked `identity` decide the numbers in the result and are part of the run's fingerprint; the others
(how many actors, where, how loud) may change from one start to the next.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from ig_worker.data.faults import DEFAULT_MAX_TEXT_BYTES
from ig_worker.data.imdb import DECODES
from ig_worker.data.kept_columns import kept_names
from ig_worker.data.sources import DataSpec
from ig_worker.data.style import STYLES, refuse_plain_pairs
from ig_worker.errors import UsageError
from ig_worker.explain.baselines import BASELINES
from ig_worker.explain.methods import ADAPTIVE, AUTO, ENGINES, METHODS, UNSHARED, check_method
from ig_worker.explain.precision import AUTO as AUTO_PRECISION
from ig_worker.explain.precision import BFLOAT16, FLOAT32, TF32
from ig_worker.models.shape import AUTO as AUTO_OUTPUTS
from ig_worker.models.shape import SETTINGS
from ig_worker.models.windows import check_windows
from ig_worker.run.setting import above_zero, at_least, setting

TRUNCATE, WINDOWS = "truncate", "windows"
OVERFLOWS = (TRUNCATE, WINDOWS)
PRECISIONS = (AUTO_PRECISION, FLOAT32, TF32, BFLOAT16)


@dataclass(frozen=True)
class ActorSettings:
    """Who computes: how many actors, where, and what each has. What the settings mean is said in `ExplainConfig`."""

    actors: str = "auto"
    address: str | None = None
    cpus_per_actor: int = 1
    gpus_per_actor: float | None = 0.0
    chunk_timeout: float | None = None

    def check(self) -> None:
        """Raise UsageError for a value that cannot be right."""
        at_least("cpus_per_actor", self.cpus_per_actor, 1)
        if self.gpus_per_actor is not None and not self.gpus_per_actor >= 0:
            raise UsageError(f"--gpus-per-actor is {self.gpus_per_actor}", expected="0 or more")
        above_zero("chunk_timeout", self.chunk_timeout)
        actor_range(self.actors, default=1)


@dataclass(frozen=True)
class DataConfig:
    """Which rows, and how they are cut into chunks."""

    dataset: str | tuple[str, ...] = setting(
        "",
        "demo, imdb, or paths or URIs of .npz, .parquet, .csv, .tsv, .jsonl, of folders of such files or of "
        "save_to_disk, or patterns with *; several are read as one, in the order of their names",
        "everyday",
        many=True,
    )
    split: str = setting("test", "split of demo, imdb, .npz, or of a folder that has splits", "data")
    limit: int | None = setting(None, "at most this many rows", "everyday", kind=int)
    offset: int = setting(0, "skip this many rows first", "data")
    text_column: str = setting("text", "column of the texts", "data")
    pair_column: str | None = setting(
        None,
        "column of the second texts, where each row has two (premise and hypothesis, question and answer)",
        "data",
        kind=str,
    )
    label_column: str = setting("label", "column of the labels; may be missing; '' reads none", "data")
    id_column: str = setting("id", "column of the ids; made from the row numbers where missing", "data")
    keep_columns: str | tuple[str, ...] | None = setting(
        None,
        "further columns that the run keeps beside its results, such as source,lang; they are in its files under their "
        "own names",
        "data",
        kind=str,
        many=True,
    )
    imdb_decode: str = setting("full", "how IMDB's word ranks become text", "data", choices=DECODES)
    word_index: str | None = setting(None, "imdb_word_index.json, if not beside the .npz", "data", kind=str)
    label_map: str | None = setting(
        None,
        "what labels mean, such as 0=negative,4=positive (2= for no label), or a .toml file of such lines",
        "data",
        kind=str,
    )
    encoding: str | None = setting(None, "of CSV and JSON lines, such as latin-1; none expects UTF-8", "data", kind=str)
    delimiter: str | None = setting(None, "between the cells of CSV, such as ; or tab; none finds it", "data", kind=str)
    chunk_rows: int = setting(256, "rows in a chunk, the unit of dispatch, commit and resume", "cluster")
    max_text_bytes: int = setting(DEFAULT_MAX_TEXT_BYTES, "longer texts are quarantined (UTF-8 bytes)", "data")

    def check(self) -> None:
        """Raise UsageError for a value that cannot be right, before anything starts."""
        at_least("chunk_rows", self.chunk_rows, 1)
        at_least("max_text_bytes", self.max_text_bytes, 1)
        kept_names(self.keep_columns)

    def spec(self) -> DataSpec:
        """What `data.sources.open_documents` needs of this."""
        names = [f.name for f in fields(DataSpec)]
        return DataSpec(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class ExplainConfig(DataConfig):
    """Everything that one run of jobs.explain can be told."""

    model: str = setting("", "a directory written by save_pretrained or jobs.finetune, or a hub name", "everyday")
    revision: str | None = setting(None, "revision of a hub model", "model", kind=str)
    engine: str = setting("fused", "fused, or alibi as the reference", "method", choices=ENGINES)
    method: str = setting(ADAPTIVE, "adaptive, or a fixed quadrature rule", "method", choices=tuple(METHODS))
    n_steps: int = setting(50, "nodes of a fixed rule", "method")
    tolerance: float = setting(0.005, "adaptive: estimated relative L1 error at which a row is done", "method")
    max_evaluations: int = setting(64, "adaptive: most evaluations of a row", "method")
    risk: float = setting(0.01, "adaptive: share of the rows that may be beyond the tolerance", "method")
    pilot: str = setting(
        AUTO, "adaptive: rows that are explained first, to calibrate the others; auto by their number, 0 none", "method"
    )
    precision: str = setting(
        AUTO_PRECISION,
        "of the network's matrix products; auto: the fastest whose rounding is lost in the tolerance, as a pilot of 60 "
        "rows and more finds; else, and with --keep-hidden or a fixed rule, float32",
        "model",
        choices=PRECISIONS,
    )
    layer: str = setting("embeddings", "embeddings, or block:K for the output of block K", "method")
    baseline: str = setting("pad", "what a text is compared with", "method", choices=BASELINES)
    outputs: str = setting(
        AUTO_OUTPUTS,
        "what the model's logits say: single-label, classes that exclude each other; multi-label, labels of which each "
        "may apply; regression, the numbers themselves; auto: what its problem_type says, else single-label",
        "model",
        choices=tuple(SETTINGS),
    )
    threshold: float = setting(
        0.5, "several labels: which of them are predicted, by their probability, above 0 and below 1", "model"
    )
    target: str = setting(
        "predicted",
        "what is explained of each row: predicted (of several labels each), label, a class by its number or name, "
        "all, top:K for the K likeliest, or a contrast of two such as A-B, predicted-label, predicted-second",
        "method",
    )
    max_length: int = setting(256, "longest input, in tokens", "model")
    overflow: str = setting(
        TRUNCATE,
        "what becomes of texts that are longer than --max-length: truncate cuts them off; windows reads them in "
        "overlapping parts, whose mean is explained",
        "model",
        choices=OVERFLOWS,
    )
    stride: int | None = setting(
        None, "tokens that neighbouring windows share, at least; none: a quarter of --max-length", "model", kind=int
    )
    text_style: str = setting("bert", "bert: special tokens; plain: cleaned, none, padded", "model", choices=STYLES)
    keep_hidden: bool = setting(
        False, "also write the attributions of every hidden unit, alibi's (tokens, hidden)", "method"
    )
    length_multiple: int = setting(32, "lengths are rounded up to a multiple of this, in tokens", "cluster")
    batch_tokens: int = setting(0, "tokens in one batch of evaluations; 0 measures what suits the device", "cluster")
    cpus_per_actor: int = setting(1, "CPU threads of an actor", "cluster")
    lanes: int = setting(
        0,
        "adaptive: groups of texts that an actor works on at a time; more need more memory; 0: two with a GPU or two "
        "threads",
        "cluster",
        identity=False,
    )
    gpus_per_actor: float | None = setting(
        None,
        "GPUs of an actor; fractions share one; none: 1 where this machine has one",
        "cluster",
        identity=False,
        kind=float,
    )
    actors: str = setting(
        "auto",
        "number of actors, or MIN:MAX: asks for MAX, starts on the first, and stops where fewer than MIN are there "
        "for 45 minutes; auto fills the machine",
        "cluster",
        identity=False,
    )
    audit: float = setting(0.0, "share of rows recomputed with alibi, 0 to 1", "method", identity=False)
    max_audit_error: float | None = setting(
        None,
        "exit code 5 where an audited row differs by a larger relative L1; by default 0.001 from alibi and, for "
        "adaptive runs, the tolerance from the refined reference",
        "method",
        identity=False,
        kind=float,
    )
    address: str | None = setting(None, "Ray cluster; none starts a local one", "cluster", identity=False, kind=str)
    deadline: float | None = setting(None, "stop cleanly after this, in seconds", "limits", identity=False, kind=float)
    chunk_timeout: float | None = setting(
        None,
        "end an actor that takes longer for a chunk, in seconds; by default ten times the others' median, at least 300",
        "limits",
        identity=False,
        kind=float,
    )
    retry_quarantined: bool = setting(False, "also try rows again that a run has quarantined", "limits", identity=False)
    max_quarantined: str = setting(
        "50%", "stop once more rows are quarantined: a share or a number", "limits", identity=False
    )

    def check(self) -> None:
        super().check()
        at_least("max_length", self.max_length, 3)
        if self.pair_column:
            refuse_plain_pairs(self.text_style)
        if self.overflow == WINDOWS:
            check_windows(self.max_length, self.stride, self.text_style)
        elif self.stride is not None:
            raise UsageError(
                f"--stride is {self.stride} with --overflow {self.overflow}", expected="--overflow windows"
            )
        at_least("length_multiple", self.length_multiple, 1)
        at_least("batch_tokens", self.batch_tokens, 0)
        at_least("lanes", self.lanes, 0)
        check_method(self, {name: type(self).__dataclass_fields__[name].default for name in UNSHARED})
        if not 0 < self.threshold < 1:
            raise UsageError(f"--threshold is {self.threshold}", expected="a probability above 0 and below 1")
        if not 0 <= self.audit <= 1:
            raise UsageError(f"--audit is {self.audit}", expected="a share from 0 to 1")
        if self.max_audit_error is not None and not self.max_audit_error >= 0:  # nan is not either
            raise UsageError(f"--max-audit-error is {self.max_audit_error}", expected="a relative L1 error, 0 or more")
        above_zero("deadline", self.deadline)
        self.actor_settings().check()
        number = self.max_quarantined.removesuffix("%")
        if not _is_number(number) or (number != self.max_quarantined and int(number) > 100):
            raise UsageError(
                f"--max-quarantined is {self.max_quarantined!r}", expected="a share such as 5%, or a number"
            )

    def actor_settings(self) -> ActorSettings:
        """Who explains."""
        return ActorSettings(**{f.name: getattr(self, f.name) for f in fields(ActorSettings)})


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) < 10  # Python refuses to read numbers of thousands of digits


def actor_range(text: str, default: int) -> tuple[int, int]:
    """Fewest and most actors in ``auto``, ``N`` (as many as there is room for, up to N) or ``MIN:MAX``."""
    if text == "auto":
        return 1, default
    low, _, high = text.partition(":") if ":" in text else ("1", "", text)
    if _is_number(low) and _is_number(high) and 1 <= int(low) <= int(high):
        return int(low), int(high)
    raise UsageError(f"--actors is {text!r}", expected="auto, a number from 1, or MIN:MAX such as 1:8")
