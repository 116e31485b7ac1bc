"""Where a run's files lie: the file system behind it, what is where, checksums, the lease."""
