"""What a run is about to do, in some lines: what was understood, what was assumed, what it will cost. All pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ig_worker.explain.methods import ADAPTIVE, ALIBI
from ig_worker.explain.precision import AUTO, FLOAT32, untried
from ig_worker.explain.sharing import share
from ig_worker.explain.target_setting import Side, TargetSetting
from ig_worker.models.encoders import ENCODERS
from ig_worker.models.layers import CLASSES, LABELS, VALUES, NetworkShape
from ig_worker.models.windows import shared, starts
from ig_worker.run.config import PRECISIONS, WINDOWS, ExplainConfig
from ig_worker.run.steps.pilot_size import rows_of_pilot
from ig_worker.run.targets import target_setting

CAUTIONS = ("assumed", "suspicious")  # names of lines that a person should not overlook
MOST_UNKNOWN = 0.05  # share of the tokens that is suspicious
_CPU_PACE, _GPU_PACE = 4e10, 2e13  # operations a second of one CPU thread and of one GPU, for want of a measurement
_SHOWN_TOKENS = 12
_WIDTH = 12  # columns of a line's name


@dataclass(frozen=True)
class Preview:
    """What is known of a run before it starts.

    A sample is its first rows that have a text.
    """

    config: ExplainConfig
    shape: NetworkShape
    model: str  # as the user named it
    data: str  # the data set, for people
    rows: int
    labels: str  # classes and their counts, for people; "" where there are none
    first_tokens: tuple[tuple[str, ...], ...]  # of the first texts
    around: tuple[tuple[str, ...], ...]  # special tokens before every text and behind it; of pairs also between them
    special: tuple[str, ...]  # all special tokens
    baseline: str  # the token that takes the place of each token; "" where --baseline is zeros
    lengths: npt.NDArray[np.int64]  # [sample], in tokens, before they are cut
    tokens: int  # of the sample, special ones apart
    unknown: int  # of these
    without_text: tuple[int, int] = (0, 0)  # of the first rows: those that have no text, all
    suspicion: str = ""  # which setting makes them unknown
    kept: str = ""  # further columns that the run keeps, with their types
    assumed: tuple[str, ...] = ()
    trial: Trial | None = None

    @property
    def suspicious(self) -> list[str]:
        """What is likely to be a mistake, each as one line."""
        lines = []
        without, looked_at = self.without_text
        if 2 * without > looked_at:
            what = "do not have both texts" if self.config.pair_column else "have no text"
            flags = "--text-column and --pair-column" if self.config.pair_column else "--text-column"
            lines.append(f"{without:,} of the first {_rows(looked_at)} {what} (see {flags})")
        if self.unknown > MOST_UNKNOWN * self.tokens:
            share = f"{self.unknown / self.tokens:.1%} of the first {self.tokens:,} tokens are unknown to the tokenizer"
            cause = self.suspicion or "the texts, or the vocabulary, may be of another language or another model"
            lines.append(f"{share}: {cause}")
        if self.trial is not None and self.trial.worse_than_chance(self.shape.classes):
            lines.append(
                f"the model is right in {self.trial.right} of {self.trial.labelled} labelled rows: are the labels the "
                "model's classes (see --label-map)?"
            )
        return lines

    def lines(self, texts: bool = True) -> list[str]:
        """The preview for people.

        Args:
            texts: whether to show how the first texts begin.
        """
        config, shape = self.config, self.shape
        told = [
            ("data", f"{self.data}, {_rows(self.rows)}"),
            ("labels", self.labels or "none"),
            *([("kept", self.kept)] if self.kept else []),
            ("model", f"{self.model}: {_network(shape)}"),
            ("classes", _classes(shape)),
        ]
        if texts:
            told += [("tokens", " ".join(tokens[:_SHOWN_TOKENS])) for tokens in self.first_tokens]
        told += [
            ("special", _special(self.around, self.special)),
            ("unknown", f"{self.unknown:,} of the first {self.tokens:,} tokens ({_share(self.unknown, self.tokens)})"),
            ("lengths", self._lengths()),
            ("method", f"{_method(config)}, at {_layer(config.layer)}, from {self._baseline()} to the text"),
            ("target", _target(target_setting(config, shape), shape.labels)),
        ]
        if self.trial is not None:
            told.append(("trial", self.trial.line()))
        told += [("pilot", _pilot(config, self.rows))] if config.method == ADAPTIVE else []
        told.append(("precision", _precision(config, self.rows)))
        told.append(("cost", self._cost()))
        for name, lines in zip(CAUTIONS, (self.assumed, self.suspicious), strict=True):
            told += [(name, line) for line in lines]
        return [f"{name:<{_WIDTH}}{text}" for name, text in told]

    def _lengths(self) -> str:
        if not self.lengths.size:
            return "no text"
        median, most = (int(np.quantile(self.lengths, share, method="lower")) for share in (0.5, 1.0))
        limit = self.config.max_length
        cut = int((self.lengths > limit).sum())
        padded = ", each padded to it" if self.config.text_style == "plain" else ""
        become = f"are cut at --max-length {limit}{padded}"
        if self.config.overflow == WINDOWS:
            become = f"are read in windows of --max-length {limit}, {int(self._windows().max())} at most"
        return (
            f"{median} tokens in the median, {most} at most; {cut} of {self.lengths.size:,} "
            f"({_share(cut, self.lengths.size)}) {become}"
        )

    def _windows(self) -> npt.NDArray[np.int64]:
        """How many windows each text of the sample has, of pairs about."""
        special = sum(map(len, self.around))
        stride = shared(self.config.max_length, self.config.stride)
        room = self.config.max_length - special
        return np.array([len(starts(max(n - special, room), room, stride)) for n in self.lengths.tolist()], np.int64)

    def _baseline(self) -> str:
        return f"{self.baseline} in each token's place" if self.baseline else "zeros in place of all token numbers"

    def _cost(self) -> str:
        each = evaluations(self.config, self.shape)
        about = "about " if self.config.method == ADAPTIVE else ""
        work = operations(self.shape, self._used()) * each * self.rows
        said = f"{_rows(self.rows)}, {about}{each:g} evaluations each"
        if self.trial is not None:
            seconds, guess = self.trial.seconds_a_token * float(self._used().mean()) * each * self.rows, "measured here"
            return f"{said}: about {duration(seconds)} of one actor like this process ({guess})"
        gpus = self.config.gpus_per_actor or 0
        pace = _GPU_PACE * gpus if gpus else _CPU_PACE * self.config.cpus_per_actor
        kind = "GPU" if gpus else "CPU"
        return f"{said}: a guess of {duration(work / pace)} of one actor on a {kind}, divided by the actors"

    def _used(self) -> npt.NDArray[np.int64]:
        """Lengths of the sample as the network gets them."""
        limit = self.config.max_length
        if self.config.text_style == "plain" or not self.lengths.size:
            return np.full(max(self.lengths.size, 1), limit)
        if self.config.overflow == WINDOWS:  # as one text, of as many tokens as all of its windows together
            return np.where(self.lengths > limit, self._windows() * limit, self.lengths)
        return np.minimum(self.lengths, limit)


@dataclass(frozen=True)
class Trial:
    """What the network made of some of the sample."""

    rows: int
    labelled: int
    right: int  # of the labelled ones
    predicted: dict[str, int] = field(default_factory=dict)  # rows by class name
    seconds_a_token: float = 0.0  # for one evaluation, forward and gradient
    span: tuple[float, float] | None = None  # least and largest, where the network gives a number

    def line(self) -> str:
        if self.span is not None:
            return f"predictions of {_rows(self.rows)}: {self.span[0]:.3g} to {self.span[1]:.3g}"
        said = ", ".join(f"{name}: {count}" for name, count in self.predicted.items()) or "none of the labels"
        labels = f"; {self.right} of {self.labelled} labels are as predicted" if self.labelled else ""
        return f"predictions of {_rows(self.rows)}: {said}{labels}"

    def worse_than_chance(self, classes: int) -> bool:
        """Whether so few are right that guessing would rarely do as badly (two standard deviations)."""
        chance = 1 / classes
        expected, spread = self.labelled * chance, (self.labelled * chance * (1 - chance)) ** 0.5
        return self.labelled > 0 and self.right < expected - 2 * spread


def operations(shape: NetworkShape, lengths: npt.NDArray[np.int64]) -> float:
    """Floating-point operations of one evaluation, forward and gradient, of a text: the mean over texts.

    A multiplication and an addition for each weight of a block and each token, and for each pair of tokens in
    attention; the gradient with respect to inputs costs what the forward pass does.

    Args:
        shape: of the network.
        lengths: int64 [texts], in tokens.
    """
    weights = shape.blocks * (4 * shape.hidden**2 + 2 * shape.hidden * shape.intermediate)
    pairs = shape.blocks * 2 * shape.hidden
    return float(np.mean(2 * 2 * (weights * lengths + pairs * lengths.astype(np.float64) ** 2)))


def evaluations(config: ExplainConfig, shape: NetworkShape) -> float:
    """Of one row with all of its targets: what a fixed rule takes, or what the adaptive method takes as a rule."""
    found = target_setting(config, shape)
    targets = 1 if found.above is not None else found.most  # of many labels, few are predicted
    together = share(1, targets) * targets if config.engine != ALIBI else targets
    if config.method != ADAPTIVE:
        return float(config.n_steps + 1) * together  # F(x) and F(x') are two halves
    return min(ENCODERS[shape.architecture].adaptive_evaluations, float(config.max_evaluations)) * together


def duration(seconds: float) -> str:
    """A span of time for people, in one unit."""
    for unit, name in ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.0f} {name}s"
    return "a second" if seconds < 1.5 else f"{seconds:.0f} seconds"


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _class(number: int, labels: Sequence[str]) -> str:
    """A class by its number, and its name where it has one."""
    return str(number) if labels[number] == str(number) else f"{number} {labels[number]}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "0%"


def _network(shape: NetworkShape) -> str:
    head = "a head on [CLS]" if shape.head is None else f"a head on all of {shape.head.length} positions"
    return (
        f"{ENCODERS[shape.architecture].title} of {shape.blocks} blocks, width {shape.hidden}, {shape.heads} heads, "
        f"{shape.vocabulary:,} tokens, with {head}"
    )


def _classes(shape: NetworkShape) -> str:
    named = ", ".join(_class(number, shape.labels) for number in range(min(len(shape.labels), 20)))
    more = f" and {len(shape.labels) - 20} more" if len(shape.labels) > 20 else ""
    by = {CLASSES: "one sigmoid" if shape.logits == 1 else "softmax", LABELS: "a sigmoid for each", VALUES: "its value"}
    return f"{named}{more}, by {by[shape.outputs]}"


def _special(around: Sequence[Sequence[str]], special: Sequence[str]) -> str:
    named = ("text",) if len(around) == 2 else ("first text", "second text")
    parts = [" ".join([*tokens, name]) for tokens, name in zip(around, named, strict=False)]
    told = " ".join([*parts, *around[-1]]) if any(around) else "none around a text"
    others = [token for token in special if not any(token in tokens for tokens in around)]
    return f"{told}; also {' '.join(others[:10])}{' …' if len(others) > 10 else ''}" if others else told


def _method(config: ExplainConfig) -> str:
    if config.method == ADAPTIVE:
        return f"integrated gradients to a relative L1 error of {config.tolerance:g}"
    return f"integrated gradients by {config.method} with {config.n_steps} nodes"


def _pilot(config: ExplainConfig, rows: int) -> str:
    count = rows_of_pilot(config, rows)
    if not count:
        return "none: nothing is promised of the errors"
    # Whether it can promise the risk that is asked for is known when it is over.
    return f"{count:,} of {_rows(rows)}, explained first: they say how many evaluations the others need"


def _precision(config: ExplainConfig, rows: int) -> str:
    why = untried(config.precision, rows_of_pilot(config, rows), PRECISIONS, "", final=not config.keep_hidden)
    if config.precision != AUTO:
        return config.precision
    return (
        f"{FLOAT32}: {why}"
        if why
        else f"{FLOAT32}, or what the pilot finds faster, and its rounding lost in the tolerance"
    )


def _layer(layer: str) -> str:
    return "the embeddings" if layer == "embeddings" else f"the output of {layer.replace(':', ' ')}"


def _target(found: TargetSetting, labels: Sequence[str]) -> str:
    if found.above is not None:
        return f"each predicted label of each row, from {found.above:g} on, or the likeliest"
    if found.ranks:
        which = "each of all" if found.ranks == len(labels) else f"each of the {found.ranks} likeliest of"
        return f"{which} {len(labels)} classes, {found.ranks} results a row"
    first = _named(found.first, labels)
    if found.minus is None:
        return f"{first}, for every row" if isinstance(found.first, int) else f"{first} of each row"
    return f"{first} against {_named(found.minus, labels)}, of each row"


def _named(side: Side, labels: Sequence[str]) -> str:
    """A side of a target, for a person."""
    if isinstance(side, int):
        return f"class {_class(side, labels)}"
    return {"predicted": "the predicted class", "label": "the labelled class", "second": "the second likeliest"}[side]
