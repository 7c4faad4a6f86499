"""A run folder and what fills it: start or go on, checkpoints, samples, provenance."""
