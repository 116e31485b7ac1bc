"""The compact set of hashes says the same as Python's own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ig_worker.data.seen import HASH_BYTES, Seen

# Few values, and such that end in zeros, which numpy's byte strings do not tell from padding.
HASHES = st.integers(0, 40).map(lambda n: bytes([n % 7]) * (n // 7) + bytes(HASH_BYTES - n // 7))


@given(batches=st.lists(st.lists(HASHES, max_size=8)), recent=st.integers(1, 6), largest=st.integers(1, 20))
def test_what_came_before_is_known_whatever_was_merged_since(batches, recent: int, largest: int) -> None:
    seen, known = Seen(recent, largest), set()
    for hashes in batches:
        expected = set()
        for position, key in enumerate(hashes):
            if key in known:
                expected.add(position)
            known.add(key)
        assert seen.add(hashes) == expected


def test_memory_is_16_bytes_a_hash() -> None:
    seen = Seen(recent=1000)
    for start in range(0, 100_000, 250):
        seen.add([n.to_bytes(HASH_BYTES, "little") for n in range(start, start + 250)])
    assert sum(half.nbytes for halves in seen._sorted for half in halves) == 100_000 * HASH_BYTES
    assert len(seen._sorted) < 10
