"""Every picture; matplotlib is imported here and nowhere else."""
