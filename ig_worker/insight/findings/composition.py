"""Words whose meaning turns by what stands before them: where the model composes, and where it only adds up.

Any word or two that come before are tested, whatever the language. A phrase is compared with its last word elsewhere.

The model composes where the last word's push has one direction elsewhere and the other one in the phrase: both means
are surely on their side (the largest p of three tests by Student's t: one of each mean, and Welch's of the difference).
That is good news and costs nothing; the strongest five are told.

It only adds up where the labels turn and the push does not. In one half of the texts the word elsewhere goes with the
class that it pushes towards, and the phrase takes away half of that or more. The push in the phrase is surely half of
that elsewhere or more, and the phrase as a whole does not push otherwise, either: a model may write the turn on the
word before. Last, in the other half, texts with the phrase have the class less often than texts with the word elsewhere
*of which the model says the same*: phrases in bad company, which the model sees, are none of its faults. Where the
model gives a number there are no rates, and only what composes is told.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ig_worker.insight.findings.corpus import Corpus, half_of
from ig_worker.insight.findings.finding import COMPOSITION, Finding
from ig_worker.insight.findings.leans import view_of
from ig_worker.insight.findings.phrases import Phrases, Sample, phrases_of, pushes, welch
from ig_worker.insight.findings.significance import SURE, false_discovery_rates, share_difference
from ig_worker.insight.findings.turns import MATERIAL, Turn, of_labels, of_pushes
from ig_worker.insight.findings.word_marks import NEGATION, NEGATORS
from ig_worker.insight.format import percent
from ig_worker.insight.tables.evidence import minimum_documents

COMPOSES = "composes"  # mark of good news
MOST_COMPOSING = 5
_MATERIAL_EXCESS = 0.05  # of the texts with the phrase, beyond what the model says of them


def composition(corpus: Corpus) -> list[Finding]:
    """Findings of the kind COMPOSITION: what only adds up, then the strongest of what composes."""
    phrases = phrases_of(corpus, minimum_documents(len(corpus)))
    half = half_of(corpus.texts.column("id").to_pylist())
    turning: list[Turn] = []
    adding: list[Turn] = []
    for number in [1] if corpus.binary else range(corpus.probability.shape[1]):
        view = view_of(corpus, number)
        found = pushes(phrases, view.sign)
        turning += of_pushes(view, found)
        adding += of_labels(corpus, view, found, phrases, half) if view.tells else []
    composing = sorted(_sure(corpus, phrases, turning), key=lambda told: (-told[0].strength, told[0].number))
    return [
        *(_adds_up(corpus, phrases, turn, q, len(adding)) for turn, q in _sure(corpus, phrases, adding)),
        *(_composes(corpus, phrases, turn, q, len(turning)) for turn, q in composing[:MOST_COMPOSING]),
    ]


def _sure(corpus: Corpus, phrases: Phrases, tested: Sequence[Turn]) -> list[tuple[Turn, float]]:
    """Those to tell, with their q; of three words only where the last two are not told."""
    rates = false_discovery_rates(np.array([turn.p for turn in tested]))
    sure = [(turn, float(q)) for turn, q in zip(tested, rates, strict=True) if q <= SURE and _material(turn)]
    told = {(turn.view.number, _terms(corpus, phrases, turn)[0]) for turn, _ in sure}
    return [
        (turn, q)
        for turn, q in sure
        if (turn.view.number, _terms(corpus, phrases, turn)[0].partition(" ")[2]) not in told
    ]


def _material(turn: Turn) -> bool:
    """Whether the labels turn far enough in the half that tests, where they are what it is about."""
    if turn.rates is None:
        return True
    excess = turn.excess / turn.rates.inside[1, turn.number]
    return bool(turn.rates.fall[1, turn.number] >= MATERIAL and excess >= _MATERIAL_EXCESS)


def _terms(corpus: Corpus, phrases: Phrases, turn: Turn) -> tuple[str, str, str]:
    """The phrase, what comes before its last word, and that word."""
    phrase = corpus.terms[int(phrases.term[turn.number])].as_py()
    before, _, word = phrase.rpartition(" ")
    return phrase, before, word


def _marks(before: str) -> list[str]:
    return [NEGATION] if NEGATORS & set(before.lower().split()) else []


def _line(name: str, sample: Sample, number: int) -> str:
    return (
        f"{name}: {sample.mean[number]:+.4f} of all |attribution| on average over {sample.n[number]:.0f} texts, "
        f"standard error {sample.error[number]:.4f}"
    )


def _push_lines(turn: Turn, phrase: str, word: str) -> list[str]:
    return [
        _line(f'push of "{word}" in "{phrase}"', turn.pushes.inside, turn.number),
        _line(f'push of "{word}" elsewhere', turn.pushes.elsewhere, turn.number),
        _line(f'push of all of "{phrase}"', turn.pushes.whole, turn.number),
    ]


def _composes(corpus: Corpus, phrases: Phrases, turn: Turn, q: float, tried: int) -> Finding:
    phrase, before, word = _terms(corpus, phrases, turn)
    i, name = turn.number, corpus.name(turn.view.number)
    difference, low, high = (float(values[i]) for values in welch(turn.pushes.inside, turn.pushes.elsewhere)[:3])
    rows = corpus.present[:, [phrases.term[i]]].tocoo().row[:]
    here, there = float(turn.pushes.inside.mean[i]), float(turn.pushes.elsewhere.mean[i])
    return Finding(
        kind=COMPOSITION,
        subject=f'"{phrase}" for {name}',
        title=f'Reads "{phrase}" as a whole',
        sentence=(
            f'After "{before}", "{word}" turns in the eyes of the model: it carries {percent(abs(here))} of all '
            f'attribution {_direction(here)} {name} in "{phrase}" ({len(rows):,} texts), and {percent(abs(there))} '
            f"{_direction(there)} it elsewhere (difference {_points(difference)}, 95% interval {_points(low)} to "
            f"{_points(high)})."
        ),
        cost=0.0,
        effect=difference,
        low=low,
        high=high,
        measure=f'push of "{word}" towards {name} less that elsewhere, part of all |attribution|',
        q=q,
        marks=[COMPOSES, *_marks(before)],
        arithmetic=[
            *_push_lines(turn, phrase, word),
            f"largest p of Student's t of each mean and Welch's of their difference: {turn.p:.3g}; {tried} phrases "
            f"tested, q = {q:.3g}",
        ],
        ids=corpus.ids(np.sort(rows).astype(np.int64)),
    )


def _direction(push: float) -> str:
    return "towards" if push > 0 else "away from"


def _points(share: float) -> str:
    return ("−" if share < 0 else "") + percent(abs(share))


def _adds_up(corpus: Corpus, phrases: Phrases, turn: Turn, q: float, tried: int) -> Finding:
    phrase, before, word = _terms(corpus, phrases, turn)
    i, rates = turn.number, turn.rates
    assert rates is not None
    name = _class(corpus, turn)
    (n, k), (m, e) = (
        (int(sizes[1, i]), int(hits[1, i]))
        for sizes, hits in ((rates.inside, rates.inside_hits), (rates.elsewhere, rates.elsewhere_hits))
    )
    fallen, low, high = share_difference(k, n, e, m)
    rows = np.sort(corpus.present[:, [phrases.term[i]]].tocoo().row).astype(np.int64)
    rows = rows[turn.view.known[rows]]
    cost = turn.excess / n * len(rows)
    here, there = (turn.side * float(sample.mean[i]) for sample in (turn.pushes.inside, turn.pushes.elsewhere))
    return Finding(
        kind=COMPOSITION,
        subject=f'"{phrase}" for {name}',
        title=f'Reads "{phrase}" as if "{before}" were not there',
        sentence=(
            f'Of the texts with "{phrase}" {percent(k / n)} are labelled {name}, and {percent(e / m)} of those with '
            f'"{word}" elsewhere (difference {_points(fallen)}, 95% interval {_points(low)} to {_points(high)}). The '
            f'model does not see it turn: "{word}" carries {percent(here)} of all attribution towards {name} in the '
            f"phrase, and {percent(there)} elsewhere. Of the {len(rows):,} texts with the phrase about {cost:.0f} more "
            f'are not {name} than of others with "{word}" of which the model says the same.'
        ),
        cost=cost,
        effect=fallen,
        low=low,
        high=high,
        measure=f'share labelled {name} less that where "{word}" stands elsewhere',
        q=q,
        marks=_marks(before),
        arithmetic=[
            f'in the half that tests: {k:,} of {n:,} texts with "{phrase}" are labelled {name}, {e:,} of {m:,} with '
            f'"{word}" elsewhere',
            f"in the half that chose it: {rates.inside_hits[0, i]:,} of {rates.inside[0, i]:,}, "
            f"{rates.elsewhere_hits[0, i]:,} of {rates.elsewhere[0, i]:,}",
            *_push_lines(turn, phrase, word),
            f"beyond texts with the word elsewhere of the same probability (in equal parts): {turn.excess:.1f} in the "
            f"half that tests, {cost:.1f} in all",
            f"exact test within these parts: p = {turn.p:.3g}; {tried} phrases tested, q = {q:.3g}",
        ],
        ids=corpus.ids(rows),
    )


def _class(corpus: Corpus, turn: Turn) -> str:
    """What the word pushes towards elsewhere."""
    if turn.side > 0:
        return corpus.name(turn.view.number)
    return corpus.name(1 - turn.view.number) if corpus.binary else f"not {corpus.name(turn.view.number)}"
