"""Drivers, one file a job: parse, configure, one library call, summary."""

import atexit

from jobs._ending import ending

atexit.register(ending)  # before any library registers its own: the last is called first, so this one is called last
