"""A sweep: from a YAML file to a plan, to cells, to processes, to files, to a table. Imports no torch."""
