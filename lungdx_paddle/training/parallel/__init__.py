"""One training on several cores, processes or GPUs, and several trainings at once."""
