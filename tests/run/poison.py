"""An actor whose process a single text can end: what a broken kernel or a bad allocation does to the real one."""

from __future__ import annotations

import os
from typing import Any

from ig_worker.run.pool import Actor

POISON = "poison"


class PoisonedActor(Actor):
    """Dies as soon as it is to explain a text with the word `POISON`."""

    def ready(self) -> tuple[str, str]:
        found = super().ready()
        explain_table = self._worker.explain_table

        def guarded(table: Any, faults: Any, batch_tokens: int = 0) -> Any:
            texts = [text for i, text in enumerate(table.column("text").to_pylist()) if i not in faults]
            if any(POISON in text for text in texts):
                os._exit(1)
            return explain_table(table, faults, batch_tokens)

        self._worker.explain_table = guarded
        return found
