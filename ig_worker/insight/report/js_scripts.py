"""Numbers and text as a classic script, which a page may load from disk where it may fetch nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

_MOST_BYTES = 5  # of a uint32 in seven bits a byte


def packed(values: ArrayLike, dtype: DTypeLike) -> str:
    """An array as base64 of its little-endian bytes."""
    array = np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<"))
    return base64.b64encode(array.tobytes()).decode()


def packed_varints(values: ArrayLike) -> str:
    """Whole numbers from 0 to 2³² − 1 as base64 of LEB128: seven bits a byte, the lowest first, the eighth for more."""
    return base64.b64encode(varints(values).tobytes()).decode()


def varints(values: ArrayLike) -> NDArray[np.uint8]:
    """LEB128 of whole numbers from 0 to 2³² − 1, uint8 [bytes]."""
    numbers = np.asarray(values, np.uint64)
    sizes = np.ones(numbers.shape, np.int64)
    for more in range(1, _MOST_BYTES):
        sizes += numbers >= np.uint64(1 << 7 * more)
    ends = np.cumsum(sizes)
    result = np.empty(int(ends[-1]) if len(ends) else 0, np.uint8)
    for byte in range(_MOST_BYTES):
        has = sizes > byte
        bits = (numbers[has] >> np.uint64(7 * byte)) & np.uint64(0x7F)
        result[ends[has] - sizes[has] + byte] = bits | np.where(sizes[has] > byte + 1, np.uint64(0x80), np.uint64(0))
    return result


def json_text(content: Any) -> str:
    """JSON in ASCII without ``<``, ``>`` and ``&``: safe in a script element and in a script of its own alike.

    ``</script>`` and ``<!--`` would end or change the element, U+2028 used to end a line of JavaScript.
    """
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def script(function: str, content: Any) -> str:
    """A script that calls `function` with `content`."""
    return f"{function}({json_text(content)});\n"


def named_by_content(stem: str, text: str) -> str:
    """``STEM-HASH.js``: another content has another name, so a page never reads the files of a later one."""
    return f"{stem}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.js"
