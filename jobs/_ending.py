"""The end of a job's own process, once its work is done and everything else has been closed.

Libraries' threads may outlive Python's interpreter: one that asks for it when it has gone ends the process with
SIGABRT, "terminate called without an active exception" (https://github.com/apache/arrow/issues/34314, open). A job that
has done all its work would then look like one that failed. So its process ends before the interpreter is taken apart.
"""

from __future__ import annotations

import contextlib
import os
import sys


class Ending:
    """Ends the process with the code of its job; does nothing where no job has run to its end as a process."""

    code: int | None = None

    def __call__(self) -> None:
        if self.code is None:
            return
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(self.code)


ending = Ending()
