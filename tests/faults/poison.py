"""An actor that single texts can spoil: what a broken kernel or a bad allocation does to the real one.

``python -m tests.faults.poison`` is `jobs.explain` with such actors.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from ig_worker.run.dispatch.explain_actor import Actor

KILLS = "poison"  # in a text: its process ends
RAISES = "spoiled"  # in a text: its explanation raises


class PoisonedActor(Actor):
    """Dies as soon as it is to explain a text with the word `KILLS`, and raises at one with `RAISES`."""

    def load(self) -> str:
        device = super().load()
        explain, engine = self._worker.explain_tokenized, self._worker.engines.of

        def guarded(tokenized: Any, binding: Any) -> Any:
            texts = [
                text for i, text in enumerate(tokenized.table.column("text").to_pylist()) if i not in tokenized.faults
            ]
            if any(KILLS in text for text in texts):
                os.kill(os.getpid(), signal.SIGKILL)
            spoiled = self._worker.reader.encoder.encode([text for text in texts if RAISES in text])
            self._worker.engines.of = lambda *_: _Spoiled(engine(*_), {bytes(tokens.inputs.ids) for tokens in spoiled})
            return explain(tokenized, binding)

        self._worker.explain_tokenized = guarded
        return device


class _Spoiled:
    """An engine that raises at some problems, known by their token ids."""

    def __init__(self, engine: Any, spoiled: set[bytes]) -> None:
        self._engine, self._spoiled = engine, spoiled

    def explain(self, problems: Any) -> Any:
        if any(bytes(problem.text.ids) in self._spoiled for problem in problems):
            raise ValueError("this text cannot be explained")
        return self._engine.explain(problems)


if __name__ == "__main__":
    from ig_worker.run.dispatch import explain_actor
    from jobs import explain
    from tests.faults import poison

    explain_actor.Actor = poison.PoisonedActor
    sys.exit(explain.main())


class PilotEnds(Actor):
    """Dies in the pilot."""

    def pilot(self, *_: Any) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)
