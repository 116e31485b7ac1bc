"""Special tokens that carry more attribution than all words.

The ends of a text carry some of it in any network, often a fifth. That is no finding. Where it is more than half, most
of what is explained is nothing that the text says, and the words' figures are of the smaller part.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from ig_worker.insight.findings.finding import SHORTCUT, Finding
from ig_worker.insight.findings.word_marks import SPECIAL_TOKEN
from ig_worker.insight.format import percent

_MOST = 0.5


def special_tokens(shares: pa.Table, texts: int, class_names: tuple[str, ...] = ()) -> list[Finding]:
    """One finding for each class of which special tokens carry more than half.

    Args:
        shares: the table `shares` of `aggregate.aggregate`.
        texts: of the run.
        class_names: of the outputs, where they are known.

    Returns:
        Findings that cost nothing: nobody knows what texts this misleads. They have no ids, since it is about all.
    """
    special = shares.filter(pc.equal(shares.column("kind"), "special"))
    return [_finding(row, texts, class_names) for row in special.to_pylist() if (row["share"] or 0) > _MOST]


def _finding(row: dict[str, float], texts: int, class_names: tuple[str, ...]) -> Finding:
    target, share = int(row["target"]), row["share"]
    name = class_names[target] if target < len(class_names) else f"class {target}"
    return Finding(
        kind=SHORTCUT,
        subject=f"special tokens for {name}",
        title=f"Leans on special tokens for {name}",
        sentence=(
            f"Special tokens, which say nothing of a text, carry {percent(share)} of all attribution where {name} is "
            f"explained: more than all words."
        ),
        cost=0.0,
        effect=share,
        measure="part of all |attribution|",
        ids=(),
        marks=[SPECIAL_TOKEN],
        arithmetic=[
            f"{int(row['tokens']):,} special tokens in a run of {texts:,} texts; part of |attribution| {share:.4f}"
        ],
    )
