"""Contradictions: texts that are the same, or nearly, and are labelled or predicted differently.

Two labels of one text cannot both be right, so of a group of equal texts at least those outside its most frequent label
are wrong: a count, and no guess. Of texts that are nearly the same this holds unless the words that differ tell the
label.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from ig_worker.insight.findings.bags import Bags, bags_of
from ig_worker.insight.findings.corpus import Corpus
from ig_worker.insight.findings.finding import CONTRADICTION, Finding
from ig_worker.insight.findings.flip_findings import flip_findings, named
from ig_worker.insight.findings.flips import flips
from ig_worker.insight.findings.near_duplicates import NEAR, leaders
from ig_worker.insight.findings.significance import wilson
from ig_worker.insight.findings.word_order import similarity
from ig_worker.insight.findings.words_of import WordsOf
from ig_worker.insight.format import percent
from ig_worker.schema import VALUES

Ints = NDArray[np.int64]
Group = list[int]  # texts as numbers in the corpus, rising

_AT_ONCE = 50_000  # texts of which the words are in memory
_SHOWN = 10  # groups, and texts of a group, in the arithmetic


def contradictions(corpus: Corpus, words_of: WordsOf) -> list[Finding]:
    """At most three of groups, and one for each word that makes predictions flip; none for numbers.

    Args:
        corpus: the run.
        words_of: gives the words of some texts in their order; it is asked only for those that may contradict others.
    """
    if corpus.outputs == VALUES or not len(corpus):
        return []
    bags = bags_of(corpus)
    leader = leaders(bags)
    flipped = flips(bags, leader, words_of)
    exact, near = _verified(_groups(bags, leader), words_of)
    told = {text for flip in flipped for text in (flip.one, flip.other)}
    return [*_of_groups(corpus, bags, exact, near, told), *flip_findings(corpus, flipped)]


def _groups(bags: Bags, leader: Ints) -> list[Group]:
    """Texts of one leader, where not all of them are labelled and predicted alike."""
    order = np.argsort(leader, kind="stable")
    order = order[bags.length[order] > 0]
    parts = np.split(order, np.flatnonzero(np.diff(leader[order])) + 1)
    return [
        part.tolist()
        for part in parts
        if len(part) > 1 and (_differ(bags.label[part]) or len(set(bags.prediction[part].tolist())) > 1)
    ]


def _differ(labels: Ints) -> bool:
    return len(set(labels[labels >= 0].tolist())) > 1


def _verified(groups: Sequence[Group], words_of: WordsOf) -> tuple[list[Group], list[Group]]:
    """Groups of texts that are word for word the same, and of those that are nearly the same as their first."""
    exact, near = [], []
    for some in _batches(groups):
        every = iter(words_of([number for group in some for number in group]))
        for group in some:
            words = [tuple(text) for text in islice(every, len(group))]
            alike = {text: similarity(words[0], text) >= NEAR for text in set(words)}
            same: dict[tuple[str, ...], Group] = defaultdict(list)
            for number, text in zip(group, words, strict=True):
                same[text].append(number)
            exact += [members for members in same.values() if len(members) > 1]
            near.append([number for number, text in zip(group, words, strict=True) if alike[text]])
    return exact, near


def _batches(groups: Sequence[Group]) -> Iterable[Sequence[Group]]:
    """Groups of some `_AT_ONCE` texts: chunks are read again for each, and the words of all texts are many."""
    ends = np.cumsum([len(group) for group in groups], dtype=np.int64)
    cuts = np.flatnonzero(np.diff(ends // _AT_ONCE)) + 1
    for begin, end in pairwise([0, *cuts.tolist(), len(groups)]):
        yield groups[begin:end]


@dataclass(frozen=True)
class _Kind:
    """What the groups of one finding have in common."""

    subject: str
    alike: str
    unless: str
    codes: Ints  # labels or predictions, -1 where there is none
    said: str
    wrong: str
    names: Callable[[int], str]  # of a text


def _of_groups(
    corpus: Corpus, bags: Bags, exact: Sequence[Group], near: Sequence[Group], flipped: set[int]
) -> Iterable[Finding]:
    """Those of equal texts; of nearly equal ones that are not told yet; and of those that are predicted differently."""
    nearly = f"the same in at least {percent(NEAR)} of their words"
    unless = ", unless the words that differ tell the label"
    same = _contradicting(bags.label, exact)
    told = {text for group in same for text in group}
    rest = _contradicting(bags.label, near, told)
    told |= flipped | {text for group in rest for text in group}
    predicted = _contradicting(bags.prediction, near, told)
    of_label, of_prediction = named(corpus)
    for groups, kind in (
        (
            same,
            _Kind(
                "equal texts, other labels",
                "word for word the same",
                "",
                bags.label,
                "labels",
                "labelled wrongly",
                of_label,
            ),
        ),
        (
            rest,
            _Kind("similar texts, other labels", nearly, unless, bags.label, "labels", "labelled wrongly", of_label),
        ),
        (
            predicted,
            _Kind(
                "similar texts, other predictions",
                nearly,
                unless,
                bags.prediction,
                "predictions",
                "predicted wrongly",
                of_prediction,
            ),
        ),
    ):
        if groups:
            yield _finding(corpus, groups, kind)


def _contradicting(codes: Ints, groups: Sequence[Group], told: Iterable[int] = ()) -> list[Group]:
    """Groups of which more than one thing is said, without the texts told already; most contradictions first."""
    told = frozenset(told)
    left = ([text for text in group if codes[text] >= 0 and text not in told] for group in groups)
    kept = [group for group in left if _differ(codes[group])]
    return sorted(kept, key=lambda group: (-_fewer(codes, group), group))


def _fewer(codes: Ints, group: Group) -> int:
    """Texts of which something else is said than of most."""
    return len(group) - max(Counter(codes[group].tolist()).values())


def _finding(corpus: Corpus, groups: Sequence[Group], kind: _Kind) -> Finding:
    texts = sum(map(len, groups))
    wrong = sum(_fewer(kind.codes, group) for group in groups)
    known = int((kind.codes >= 0).sum())
    low, high = wilson(wrong, known)
    how_many = f"{len(groups):,} groups" if len(groups) > 1 else "One group"
    lines = [_line(corpus, group, kind) for group in groups[:_SHOWN]]
    return Finding(
        kind=CONTRADICTION,
        subject=kind.subject,
        title=f"Texts that are {kind.alike}, with different {kind.said}",
        sentence=(
            f"{how_many} of texts that are {kind.alike} have different {kind.said}: {texts:,} texts, of which at least "
            f"{wrong:,} are {kind.wrong}{kind.unless} ({percent(wrong / known)} of all {kind.said}, 95% interval "
            f"{percent(low)} to {percent(high)})."
        ),
        cost=float(wrong),
        effect=wrong / known,
        low=low,
        high=high,
        measure=f"share of the {kind.said} that must be wrong at least",
        arithmetic=[
            f"of each group, the texts outside its most frequent {kind.said[:-1]}: {wrong:,} of {texts:,} in all",
            f"of all texts with {kind.said}: {wrong:,} / {known:,} = {percent(wrong / known)}",
            *lines,
            *([f"and {len(groups) - _SHOWN:,} groups more, in the order of the ids"] if len(groups) > _SHOWN else []),
        ],
        ids=corpus.ids(np.array([text for group in groups for text in group], np.int64)),
    )


def _line(corpus: Corpus, group: Group, kind: _Kind) -> str:
    """A group with what is said of how many, and one text of each."""
    parts = []
    for code, count in Counter(kind.codes[group].tolist()).most_common():
        own = [text for text in group if kind.codes[text] == code]
        shown = ", ".join(corpus.ids(np.array(own[:3], np.int64)))
        more = f" and {count - 3:,} more" if count > 3 else ""
        parts.append(f"{kind.names(own[0])} {count:,} ({shown}{more})")
    return f"{_fewer(kind.codes, group):,} of {len(group):,}: " + ", ".join(parts)
