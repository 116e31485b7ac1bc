"""What a run's tables mean: sentences with their evidence, what costs most first."""
