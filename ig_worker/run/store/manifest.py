"""run.json, the only file of a run that changes, and summary.json, which says how the last start ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ig_worker import schema
from ig_worker.errors import UsageError
from ig_worker.run.identity import fingerprint
from ig_worker.run.store.run_files import MANIFEST, SUMMARY, RunFiles


class Manifest:
    """run.json: what a run was asked for, what it is bound to, and how far it is."""

    def __init__(self, files: RunFiles) -> None:
        self._files = files

    def read(self) -> dict[str, Any] | None:
        """The content of run.json, or None where there is none.

        Raises:
            RunDamagedError: it is no JSON, or of another version.
        """
        manifest = self._files.read_json(MANIFEST)
        if manifest is None:
            return None
        if manifest.get("schema_version") not in schema.READABLE:
            raise self._files.damaged(
                MANIFEST,
                f"has schema version {manifest.get('schema_version')!r}, "
                f"this program reads {' and '.join(schema.READABLE)}",
            )
        return manifest

    def existing(self) -> dict[str, Any]:
        """The content of run.json of a run that has to exist.

        Raises:
            UsageError: there is none.
            RunDamagedError: it is no JSON, or of another version.
        """
        manifest = self.read()
        if manifest is None:
            raise UsageError(
                f"{self._files.storage.place} is not a run: it has no {MANIFEST}",
                remedy="give the --run of an earlier jobs.explain or jobs.prepare",
            )
        return manifest

    def write(self, manifest: Mapping[str, Any]) -> None:
        """Write run.json, with the version and a checksum."""
        content = {**manifest, "schema_version": schema.VERSION}
        self._files.write_json(MANIFEST, {**content, "checksum": manifest_checksum(content)})


def manifest_checksum(manifest: Mapping[str, Any]) -> str:
    """SHA-256, hexadecimal, of run.json's content but for the checksum itself."""
    return fingerprint({key: value for key, value in manifest.items() if key != "checksum"})


class Summary:
    """summary.json: how the last start ended."""

    def __init__(self, files: RunFiles) -> None:
        self._files = files

    def read(self) -> dict[str, Any]:
        """Its content; empty where no start has ended.

        Raises:
            RunDamagedError: it is no JSON.
        """
        return self._files.read_json(SUMMARY) or {}

    def write(self, summary: Mapping[str, Any]) -> None:
        """Write summary.json."""
        self._files.write_json(SUMMARY, summary)
