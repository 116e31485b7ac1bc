"""A run's rows as tables: measures, and what is read from them."""
