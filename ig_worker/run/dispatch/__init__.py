"""Who does which chunk when, and what follows when that fails: decisions, then the Ray that carries them out."""
