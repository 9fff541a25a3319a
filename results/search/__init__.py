"""A search's evaluations: their processes and folders, and what a person sees of them."""
