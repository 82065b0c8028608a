"""Reports of delivery: what servers write, and what is read out of it."""
