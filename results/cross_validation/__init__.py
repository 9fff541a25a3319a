"""A cross-validation: its runs, its folder and what they come to."""
