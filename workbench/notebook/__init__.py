"""Measurements and pictures of the notebooks: what is longer than a cell. Nothing else in the package imports it."""
