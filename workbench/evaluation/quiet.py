"""Libraries that talk while they load, silenced: one bar of ours is enough."""

from __future__ import annotations


def quiet_libraries() -> None:
    """No weight-loading bars, no hints about tokens, from diffusers and transformers; errors still raise."""
    import diffusers
    import transformers

    for logging in (diffusers.utils.logging, transformers.utils.logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
