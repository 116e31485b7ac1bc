"""The two text styles (DESIGN section 6): what happens to a review's text before the tokenizer sees it.

``bert`` leaves the text to the tokenizer. ``plain`` repeats the preprocessing of alibi's 2021 tutorial (notebook
``integrated_gradients_transformers``) character by character, oddities included, because a preset that names that
tutorial must feed the model the same words.
"""

from __future__ import annotations

import re

from ig_worker.errors import UsageError

STYLES = ("bert", "plain")

_DELETED = re.compile(r"""[.;:,!'?"()\[\]]""")
# The tutorial knows a *pair* of line breaks only; of a single one it merely blanks the slash: `<br  >`.
_BLANKED = re.compile(r"<br\s*/><br\s*/>|-|/")


def plain_text(text: str) -> str:
    """`text` in style ``plain``: lower-case words with blanks between them.

    The characters ``. ; : , ! ' ? " ( ) [ ]`` are deleted; then a pair of ``<br />`` tags, each ``-`` and each ``/``
    become one blank.
    """
    return _BLANKED.sub(" ", _DELETED.sub("", text.lower()))


def refuse_plain_pairs(style: str) -> None:
    """Raise UsageError where rows of two texts are to be read in a style that knows of one."""
    if style == "plain":
        raise UsageError(
            "--text-style is 'plain', which puts nothing between two texts",
            expected="bert, for rows of two texts",
            remedy="leave --text-style or --pair-column out",
        )


def apply_style(text: str, style: str) -> str:
    """`text` as `style` (one of `STYLES`) hands it to the tokenizer.

    Raises:
        UsageError: there is no such style.
    """
    if style == "bert":
        return text
    if style == "plain":
        return plain_text(text)
    raise UsageError(
        f"text style {style!r} does not exist",
        expected=" or ".join(STYLES),
        remedy="set --text-style to one of them",
    )
