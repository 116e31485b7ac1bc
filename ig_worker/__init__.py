"""Explain every prediction of a text classifier over a whole data set.

Five rooms, in the order in which data walks through them: ``data → models → explain → run → insight``. Importing this
package imports nothing heavy.

In a notebook::

    import ig_worker

    ig_worker.explain(["a great film", "a dull one"], model="./my-model")
    ig_worker.open("runs/first")[0]
"""

from __future__ import annotations

from os import PathLike, fspath
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ig_worker import explain

if TYPE_CHECKING:
    from ig_worker.insight.notebook.explain_texts import TextExplanations
    from ig_worker.insight.notebook.open_run import Run

__version__ = "0.1.0"


class _Explain(ModuleType):
    """The room `ig_worker.explain`, which can also be called: it has the name that people expect of the function.

    A function of that name would hide the package: ``import ig_worker.explain.fused as fused`` looks it up here first.
    To give a module another class is Python's own way to make it callable (its reference, "Customizing module
    attribute access").
    """

    def __call__(self, texts: Any, *, model: str | PathLike[str], **config: Any) -> TextExplanations:
        """Explain texts in this process; see `ig_worker.insight.notebook.explain_texts.explain_texts`."""
        from ig_worker.insight.notebook.explain_texts import explain_texts

        return explain_texts(texts, model=model, **config)


explain.__class__ = _Explain  # here, since the room itself may not import insight


def open(place: str | PathLike[str]) -> Run:
    """The run at a path or URI, read lazily; see `ig_worker.insight.notebook.open_run.Run`.

    Raises:
        UsageError: there is none.
    """
    from ig_worker.insight.notebook.open_run import Run

    return Run(fspath(place))
