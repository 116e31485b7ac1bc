"""Trust: texts whose explanation should not be relied on, one finding for each reason that concerns any.

A cost is in mistakes, as that of other kinds. An explanation that is worth nothing counts as `DOUBT` of one, and each
reason says how much of an explanation it takes away, from 0 to 1: the estimated error, the part that delta is of
F(x) - F(x'), what is missing to attributions that can be told from rounding, how far the baseline is beyond what is
let pass, what the end of a text carries beyond its share. Only where texts that are cut off are wrong more often, those
mistakes count in full. So that some texts are cut off costs nothing by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ig_worker.explain.explanation import FLOOR, STATUS_FIXED, STATUS_LIMIT
from ig_worker.insight.findings.corpus import Corpus
from ig_worker.insight.findings.finding import DOUBT, TRUST, Finding
from ig_worker.insight.findings.trust_faithful import unfaithful
from ig_worker.insight.findings.trust_truncated import truncated
from ig_worker.insight.format import measured, number, percent
from ig_worker.schema import CLASSES, VALUES

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

DELTA_LIMIT = 0.05  # of |F(x) - F(x')|: what |delta| may be of it with a fixed rule
_LEAST_DELTA = 0.01  # of F: smaller gaps are no matter
SATURATED = 1e-6  # of a probability: nearer to 0 or to 1, `explain` does not tell odds apart either
BASELINE_LIMIT = 0.25  # how far F may be from its value without knowledge at the baseline
BASELINE_SHARE = 0.01  # of the texts; fewer are no news


def trust(
    corpus: Corpus,
    tables: Mapping[str, pa.Table],
    delta_limit: float = DELTA_LIMIT,
    tolerance: float | None = None,
) -> list[Finding]:
    """What concerns the trust in a run's explanations, what costs most first; nothing of a run in good health.

    Args:
        corpus: the run.
        tables: those of other jobs, of which `faithfulness` is read where it is there.
        delta_limit: with a fixed rule, the part that |delta| may be of |F(x) - F(x')|.
        tolerance: of the run, where its method has one: estimated relative L1 error at which a text was done.
    """
    found = [
        *_inexact(corpus, tolerance),
        *_incomplete(corpus, delta_limit),
        *_faint(corpus),
        *_biased(corpus),
        *truncated(corpus),
        *unfaithful(corpus, tables.get("faithfulness")),
    ]
    return sorted(found, key=lambda one: -one.cost)


def _inexact(corpus: Corpus, tolerance: float | None) -> list[Finding]:
    """Texts that were given up at the limit of evaluations, or are estimated beyond the tolerance."""
    estimate = corpus.numbers("error_estimate")
    limited = _status(corpus, STATUS_LIMIT)
    # Estimates are float32, and so is the tolerance that some of them are equal to.
    beyond = np.zeros(len(corpus), bool) if tolerance is None else estimate > float(np.float32(tolerance))
    which = limited | beyond
    if not which.any():
        return []
    off = np.minimum(np.where(np.isnan(estimate), 1.0, estimate), 1.0)
    median, worst = float(np.median(off[which])), float(off[which].max())
    aim = "" if tolerance is None else f" (the tolerance is {number(tolerance)})"
    return [
        _finding(
            corpus, which, off,
            subject="estimated error",
            title="Attributions that did not converge",
            sentence=(
                f"{_texts(which)} stopped at the limit of evaluations or beyond the tolerance: the attributions are "
                f"estimated to be off by {percent(median)} in the median and by {percent(worst)} at worst{aim}. Raise "
                f"--max-evaluations, or do not compare tokens that differ by less."
            ),
            measure="mean estimated relative error",
            arithmetic=[
                f"status {STATUS_LIMIT}: {limited.sum():,} texts",
                f"estimate above the tolerance: "
                f"{'not asked' if tolerance is None else f'{beyond.sum():,} texts'}, of {len(corpus):,}",
            ],
        )
    ]  # fmt: skip


def _incomplete(corpus: Corpus, limit: float) -> list[Finding]:
    """Texts of a fixed rule whose attributions do not add up."""
    change = np.abs(corpus.numbers("target_probability") - corpus.numbers("baseline_probability"))
    gap = np.abs(corpus.numbers("delta"))
    which = _status(corpus, STATUS_FIXED) & (gap > limit * change) & (gap > _LEAST_DELTA)
    if not which.any():
        return []
    off = np.minimum(gap / np.maximum(change, 1e-9), 1.0)
    return [
        _finding(
            corpus, which, off,
            subject="completeness",
            title="Attributions that do not add up",
            sentence=(
                f"The attributions of {_texts(which)} miss F(x) - F(x') by more than {percent(limit)} of it, by "
                f"{measured(float(np.median(gap[which])))} in the median and {measured(float(gap[which].max()))} at "
                f"most: most likely the rule has too few nodes. Raise --n-steps, or use --method adaptive."
            ),
            measure="mean |delta| / |F(x) - F(x')|, at most 1",
            arithmetic=[
                f"|delta| > {limit:g} |F(x) - F(x')| and |delta| > {_LEAST_DELTA:g}, status {STATUS_FIXED}: "
                f"{which.sum():,} of {len(corpus):,} texts",
            ],
        )
    ]  # fmt: skip


def _faint(corpus: Corpus) -> list[Finding]:
    """Texts without attributions to speak of: F at the text is what it is at the baseline.

    A saturated probability alone is no reason: gradients of the outputs keep their digits (`models.elementwise`), and
    along the path F changes by as much as ever. But where it is as near to 0 or 1 at the baseline, nothing is left to
    share out. Errors are relative to an L1 norm of `FLOOR` then (`explain.explanation`).
    """
    total = corpus.numbers("total")
    which = total < FLOOR
    if not which.any():
        return []
    said = corpus.numbers("target_probability")
    saturated = which & ((said < SATURATED) | (said > 1 - SATURATED)) & _is_single(corpus)
    if corpus.outputs == VALUES:
        saturated[:] = False
    among = f", of which {saturated.sum():,} have a probability within {SATURATED:g} of 0 or 1" * bool(saturated.any())
    return [
        _finding(
            corpus, which, 1 - total / FLOOR,
            subject="faint attributions",
            title="Attributions of next to nothing",
            sentence=(
                f"The attributions of {_texts(which)} add up to less than {FLOOR:g} in absolute value{among}: the "
                f"model says of them what it says of the baseline. Their errors are told relative to {FLOOR:g}, so do "
                f"not rank their words; another --baseline may tell more."
            ),
            measure=f"mean part of {FLOOR:g} that is missing",
            arithmetic=[
                f"sum of |attribution| < {FLOOR:g}: {which.sum():,} of {len(corpus):,} texts, median "
                f"{measured(float(np.median(total[which])))}",
                f"F(x) < {SATURATED:g} or F(x) > 1 - {SATURATED:g}: {saturated.sum():,} of them",
            ],
        )
    ]  # fmt: skip


def _biased(corpus: Corpus) -> list[Finding]:
    """Texts whose baseline tells a class by itself; only of classes that exclude each other.

    Without knowledge F(x') is 1 / classes, or 0 where F is a contrast of two of them. There may be a baseline for each
    length of text, so texts are counted.
    """
    if corpus.outputs != CLASSES:
        return []
    count = corpus.probability.shape[1]
    expected = np.where(_is_single(corpus), 1 / max(count, 1), 0.0)
    off = corpus.numbers("baseline_probability") - expected
    which = np.abs(off) > BASELINE_LIMIT
    if which.sum() < max(1, BASELINE_SHARE * len(corpus)):
        return []
    numbers, lean = np.unique(_leaning(corpus, off)[which], return_counts=True)
    order = np.argsort(-lean, kind="stable")
    named = [(corpus.name(int(numbers[i])) if numbers[i] >= 0 else "another class", int(lean[i])) for i in order]
    return [
        _finding(
            corpus, which, np.abs(off) - BASELINE_LIMIT,
            subject="baseline",
            title=f'The baseline says "{named[0][0]}" by itself',
            sentence=(
                f'The baseline of {_texts(which)} is no neutral text: for {named[0][1]:,} of them it says '
                f'"{named[0][0]}" before a word is read (F(x\') is {measured(float(np.median(np.abs(off[which]))))} '
                f"from neutral in the median, which is {measured(float(np.median(expected[which])))}). No word is "
                f"given what the baseline has already; try another --baseline and see which words stay."
            ),
            measure=f"mean distance of F(x') from neutral, beyond {BASELINE_LIMIT:g}",
            arithmetic=[
                f"|F(x') - neutral| > {BASELINE_LIMIT:g}: {which.sum():,} of {len(corpus):,} texts",
                *(f"towards {name}: {texts:,} texts" for name, texts in named[:5]),
            ],
        )
    ]  # fmt: skip


def _leaning(corpus: Corpus, off: Floats) -> NDArray[np.int64]:
    """The class that each text's baseline leans to; -1 where it is any but the target, or the contrast's other one."""
    names = corpus.texts.schema.names
    other = corpus.numbers("contrast") if "contrast" in names else np.full(len(corpus), np.nan)
    other = np.where(np.isnan(other), 1 - corpus.target if corpus.binary else -1, other)
    return np.where(off > 0, corpus.target, other).astype(np.int64)


def _is_single(corpus: Corpus) -> Bools:
    """Whether F is one output and no contrast of two, [texts]."""
    if "contrast" not in corpus.texts.schema.names:
        return np.ones(len(corpus), bool)
    return np.asarray(corpus.texts.column("contrast").is_null().to_numpy())


def _status(corpus: Corpus, status: str) -> Bools:
    return np.asarray(pc.equal(corpus.texts.column("status"), status).to_numpy())


def _texts(which: Bools) -> str:
    count = int(which.sum())
    return f"{count:,} text{'s' if count != 1 else ''} of {len(which):,} ({percent(count / len(which))})"


def _finding(
    corpus: Corpus,
    which: Bools,
    lost: Floats,
    *,
    subject: str,
    title: str,
    sentence: str,
    measure: str,
    arithmetic: Sequence[str],
) -> Finding:
    """A finding that is a count: some texts, each of which loses a part of its explanation, 0 to 1."""
    parts = np.clip(lost[which], 0.0, 1.0)
    return Finding(
        kind=TRUST,
        subject=subject,
        title=title,
        sentence=sentence,
        cost=DOUBT * float(parts.sum()),
        effect=float(parts.mean()),
        measure=measure,
        arithmetic=[*arithmetic, f"cost: {which.sum():,} texts x {measured(float(parts.mean()))} x {DOUBT}"],
        ids=corpus.ids(which),
    )
