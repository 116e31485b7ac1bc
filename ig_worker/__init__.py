"""Explain every prediction of a text classifier over a whole data set.

Five rooms, in the order in which data walks through them: ``data → models → explain → run → insight``.
Importing this package imports none of them, and nothing heavy.
"""

__version__ = "0.1.0"
