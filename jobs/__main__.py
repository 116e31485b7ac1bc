"""Lists the jobs."""

from __future__ import annotations

import ast
from pathlib import Path


def main() -> None:
    print("usage: python -m jobs.NAME --help\n")
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        summary = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()[0]
        print(f"  jobs.{path.stem:<12}{summary}")


if __name__ == "__main__":
    main()
