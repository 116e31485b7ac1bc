"""Drivers, one file a job: parse, configure, one library call, summary."""
