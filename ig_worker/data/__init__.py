"""Documents in: data-set readers, the two text styles, the made-up demo corpus, chunk planning."""
