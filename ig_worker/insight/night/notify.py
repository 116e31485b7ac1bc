"""Telling others how a night went. Nothing here can fail the night: what goes wrong is a warning."""

from __future__ import annotations

import http.client
import json
import logging
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

log = logging.getLogger(__name__)

_TIMEOUT_S = 10.0


def post(url: str, content: dict[str, Any]) -> bool:
    """POST `content` as JSON, such as Slack's incoming webhooks take; whether it was taken."""
    return _send(url, "POST", json.dumps(content).encode())


def ping(url: str) -> bool:
    """GET a URL, such as a dead-man's switch waits for; whether it answered."""
    return _send(url, "GET")


def _send(url: str, method: str, data: bytes | None = None) -> bool:
    place = "the URL"
    try:
        parts = urlsplit(url)
        place = f"{parts.scheme}://{parts.hostname}"  # the rest is often a secret
        if parts.scheme not in ("http", "https") or not parts.hostname:  # urllib would also open file: and ftp:
            log.warning("%s cannot be told about a night; expected http:// or https://", place)
            return False
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            answer.read(1 << 16)
        return True
    except urllib.error.HTTPError as error:
        log.warning("%s answered %d; the night goes on", place, error.code)
        error.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        log.warning("%s could not be told (%s); the night goes on", place, type(error).__name__)
    return False
