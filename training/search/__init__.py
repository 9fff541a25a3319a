"""Searching for hyperparameters: what is searched, what is proposed, what is stopped early."""
