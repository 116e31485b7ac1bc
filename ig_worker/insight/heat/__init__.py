"""A text as coloured pieces."""
