"""From a run folder, a teacher or real images to figures of merit: what `workbench.evaluate` and `workbench.sample`
do.
"""
