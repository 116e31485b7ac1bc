"""Settings that have to precede the import of TensorFlow and transformers. Importing this module takes no time."""

from __future__ import annotations

import os
from typing import Any

# transformers' TensorFlow classes and alibi are written against Keras 2.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def quiet_transformers() -> Any:
    """transformers, without its warnings and bars. Its tokenizers need no TensorFlow."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers
