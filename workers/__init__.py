"""What exists because RQ exists: the jobs, the clock, the start of a worker."""
