"""Measurements that are no tests: speed, memory and accuracy beside alibi and captum. `make bench` runs them."""
