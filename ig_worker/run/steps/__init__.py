"""What a job does with a run, from preflight to verification, one module a step."""
