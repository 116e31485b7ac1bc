"""Log lines, as text or as JSON, with the run and the chunk that they are about; actors write as their driver does.

A line of JSON has the keys time (UTC), level, logger and message, and where they are known run, chunk and traceback.
Keys and secrets that a URI carries are taken out of every line, whoever wrote it.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from ig_worker.data.files import without_query, without_secrets
from ig_worker.data.plan import chunk_name

FORMATS = ("text", "json")
_LEVEL, _FORMAT = "IG_WORKER_LOG_LEVEL", "IG_WORKER_LOG_FORMAT"  # for the processes of actors
_settings: dict[str, str] = {}
_context: ContextVar[Mapping[str, str]] = ContextVar("about", default={})  # noqa: B039 (nobody changes it)


def configure(level: str, format: str) -> None:
    """Let this process write its log to stderr.

    Args:
        level: debug, info, warning or error.
        format: one of `FORMATS`.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Json() if format == "json" else _Text())
    logging.basicConfig(level=level.upper(), handlers=[handler])  # a program around this one keeps its own
    _settings.update({_LEVEL: level, _FORMAT: format})


def environment() -> dict[str, str]:
    """What an actor's process needs for `configure_like_the_driver`."""
    return dict(_settings)


def configure_like_the_driver() -> None:
    """Let this actor's process write its log as its driver does: into the files of Ray's session."""
    configure(os.environ.get(_LEVEL, "warning"), os.environ.get(_FORMAT, "text"))


def as_json() -> bool:
    """Whether this process writes JSON, and so nothing else to stderr."""
    return _settings.get(_FORMAT) == "json"


@contextmanager
def about(run: str | None = None, chunk: int | None = None) -> Iterator[None]:
    """What the lines of this thread are about, until the end of the block."""
    known = {"run": run, "chunk": None if chunk is None else chunk_name(chunk)}
    token = _context.set({**_context.get(), **{key: value for key, value in known.items() if value}})
    try:
        yield
    finally:
        _context.reset(token)


def tell(text: str, level: int = logging.INFO) -> None:
    """Write a line for people to stderr, whatever the log level: as it is, or as a line of JSON."""
    text = without_secrets(text)
    if as_json():
        text = _Json().format(logging.LogRecord("jobs", level, "", 0, text, None, None))
    elif level >= logging.ERROR:
        text = f"error: {text}"
    with suppress(OSError):  # a full disk, or a reader that has gone, is nothing that a run should end for
        print(text, file=sys.stderr, flush=True)


def unexpected(error: BaseException) -> str:
    """What to say of an error that is not one of ours."""
    return without_secrets(f"unexpected {type(error).__name__}: {' '.join(str(error).split())}")


def tell_assumed(assumed: Iterable[str]) -> None:
    """Write what was assumed, and nobody has said, to stderr."""
    for line in assumed:
        tell(f"assumed: {line}", logging.WARNING)


def run_name(place: str) -> str:
    """The last part of a run's path or URI, which holds no secrets."""
    return without_query(place).rstrip("/").rpartition("/")[2]


def _about(record: logging.LogRecord) -> dict[str, str]:
    """Of a record: what its thread is about, unless it says so itself by ``extra``."""
    own = {key: getattr(record, key) for key in ("run", "chunk") if hasattr(record, key)}
    return {**_context.get(), **own}


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        known = " ".join(f"{key}={value}" for key, value in _about(record).items())
        return f"{super().formatMessage(record)}{f' [{known}]' if known else ''}"

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        content: dict[str, str] = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_about(record),
        }
        if record.exc_info:
            content["traceback"] = self.formatException(record.exc_info)
        return json.dumps({key: without_secrets(value) for key, value in content.items()}, ensure_ascii=False)
