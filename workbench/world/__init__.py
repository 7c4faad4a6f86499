"""The commands that made what is shipped: garments, VAE, teacher and text encoder, judge."""
