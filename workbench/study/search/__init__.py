"""A sweep file with `search:` instead of `factors:`. Optuna proposes, files decide; no torch and no parser here.

Trials see the tune half of the prompts. The best is trained again on other seeds, beside the base configuration, and
scored on the report half before it is called best.
"""
