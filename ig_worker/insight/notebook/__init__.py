"""Texts and runs as objects in a notebook."""
