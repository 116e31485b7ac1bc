"""One run: frozen config and fingerprint, the chunk store, dispatch decisions, the Ray pool."""
