"""What a transmission, a disk, an editor or an enemy can do to a file, as hypothesis strategies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from ig_worker.errors import IgWorkerError

quick = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@st.composite
def damaged(draw: st.DrawFn, *wholes: bytes) -> bytes:
    """One of `wholes` with up to four places overwritten, cut out, doubled, inserted or cut off; or any bytes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    data = draw(st.sampled_from(wholes))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        size = draw(st.integers(1, 12))
        piece = draw(st.binary(min_size=1, max_size=4))
        data = draw(
            st.sampled_from(
                [
                    data[:at] + piece + data[at + len(piece) :],
                    data[:at] + piece + data[at:],
                    data[:at] + data[at + size :],
                    data[:at] + data[at : at + size] * 2 + data[at + size :],
                    data[:at],
                ]
            )
        )
    return data


@contextmanager
def one_line(kind: type[IgWorkerError] = IgWorkerError, longest: int = 1500) -> Iterator[None]:
    """What is done within may be refused by an error of `kind`, in one line of at most `longest` characters."""
    try:
        yield
    except kind as error:
        if len(str(error).splitlines()) != 1 or len(str(error)) > longest:
            raise ValueError("the message is no line for a terminal") from error
