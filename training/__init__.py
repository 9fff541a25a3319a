"""Chunks to the device, steps, epochs, snapshots, baselines."""
