"""The rules of the service, in plain Python: the standard library and nothing else."""
