"""Settings that have to precede the import of TensorFlow and transformers. Importing this module takes no time."""

from __future__ import annotations

import os
import platform
from typing import Any

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"

# transformers' TensorFlow classes and alibi are written against Keras 2.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if platform.machine() in {"x86_64", "AMD64"}:
    # By itself TensorFlow takes oneDNN's products on processors with AVX512-VNNI only. They win with AVX2, too: its own
    # products of narrow matrices, as attention has them, run at a fifth of the machine's rate, oneDNN's at two thirds.
    os.environ.setdefault(ONEDNN, "1")


def quiet_transformers() -> Any:
    """transformers, without its warnings and bars. Its tokenizers need no TensorFlow."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers
