"""Keys in a URI never reach a message, also where they were not percent-encoded."""

from __future__ import annotations

import pytest

from ig_worker.data.files import without_secrets


@pytest.mark.parametrize(
    "place",
    [
        "s3://KEY:SECRET@bucket/x",
        "s3://KEY:ab/cdSECRET@bucket/x",
        "s3://KEY:ab@cdSECRET@bucket/x",
        "s3://KEY:ab cd/SECRET@bucket/x?region=eu",
    ],
)
def test_the_secret_is_gone_and_the_bucket_is_not(place: str) -> None:
    shown = without_secrets(place)
    assert "SECRET" not in shown
    assert "KEY" not in shown
    assert "bucket/x" in shown


@pytest.mark.parametrize("place", ["s3://bucket/a@b/c", "runs/first", "s3://bucket/x?endpoint_override=127.0.0.1:9000"])
def test_a_place_without_secrets_is_shown_as_it_is(place: str) -> None:
    assert without_secrets(place) == place


def test_a_host_with_a_port_is_no_secret() -> None:
    assert without_secrets("http://127.0.0.1:9000/a@b") == "http://127.0.0.1:9000/a@b"
