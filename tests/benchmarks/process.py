"""A fresh process for everything that is measured: no shared thread pools, a peak memory of its own.

The parent asks for one method call at a time; requests and answers are lines of JSON.

    with Child("tests.benchmarks.peers:Fused", threads=2, workload="w.npz") as child:
        child.ask("warm_up")
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]


class ChildError(Exception):
    """A child failed; the text is its traceback."""


def last_line(error: Exception) -> str:
    """What a traceback ends with."""
    return str(error).strip().splitlines()[-1]


class Child:
    """An object in another process.

    Args:
        target: ``module:Class`` to make there.
        threads: what every framework's thread pool is limited to; the object gets it too.
        environment: variables on top of this process's.
        packages: a directory whose packages only this child sees.
        arguments: of the class; anything that JSON can hold.
    """

    def __init__(
        self,
        target: str,
        *,
        threads: int,
        environment: Mapping[str, str] | None = None,
        packages: Path | None = None,
        **arguments: Any,
    ) -> None:
        pools = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        path = os.pathsep.join(map(str, [ROOT, *([packages] if packages else [])]))
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.process"],
            cwd=ROOT,
            env={**os.environ, **pools, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            self.ask(target, threads=threads, **arguments)
        except ChildError:
            self.close()
            raise

    def begin(self, method: str, **arguments: Any) -> None:
        """Send a call without waiting for its answer, which `finish` gives."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([method, arguments]) + "\n")
        self._process.stdin.flush()

    def finish(self) -> Any:
        """The answer to the call that was begun.

        Raises:
            ChildError: the call raised, or the process ended.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ChildError(f"the process ended with code {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise ChildError(answer["error"])
        return answer["result"]

    def ask(self, method: str, **arguments: Any) -> Any:
        """Call a method and wait for what it returns."""
        self.begin(method, **arguments)
        return self.finish()

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes.

    VmHWM and not getrusage, whose number a child inherits from the parent it was forked off.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _serve() -> None:
    # Libraries print; the answers go to a copy of stdout that only this loop knows.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    served: Any = None
    for line in sys.stdin:
        method, arguments = json.loads(line)
        try:
            if served is None:
                module, name = method.split(":")
                served, result = getattr(importlib.import_module(module), name)(**arguments), None
            else:
                result = getattr(served, method)(**arguments)
            answer = {"result": result}
        except Exception:  # noqa: BLE001  the parent decides what a failure means
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve()
