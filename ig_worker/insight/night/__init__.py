"""One night, and what it decides."""
