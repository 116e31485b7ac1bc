"""Faults that are done to whole runs on a simulated cluster; `make faults` runs them and writes the README's table."""
