"""The results of the faults as the README's table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def markdown(result: Mapping[str, Any]) -> str:
    """A table, one line a fault."""
    machine = result["machine"]
    lines = [
        f"{result['rows']:,} rows in chunks of {result['chunk_rows']}, {result['nodes']} actors on {result['nodes']} "
        f"simulated nodes; {machine['cpu']}, {machine['cores']} cores, {machine['date']}.",
        "",
        "| fault, at a third of the run | exit codes | rows lost, doubled | quarantined | result | time lost |",
        "| --- | --- | ---: | ---: | --- | ---: |",
    ]
    for record in result["faults"]:
        codes = ", then ".join(str(code) for code in record["exit_codes"])
        same = "identical" if record["identical"] else "DIFFERENT"
        sound = "" if record["sound"] else " (NOT SOUND)"
        lost = record["seconds"] - record["undisturbed_s"]
        lines.append(
            f"| {record['name']} | {codes} | {record['lost']}, {record['doubled']} | {record['quarantined']} "
            f"| {same}{sound} | {lost:.0f} of {record['undisturbed_s']:.0f} s |"
        )
    return "\n".join(lines)
