"""ImageNet's pictures, or any big folder of labelled ones, become a folder of shards."""
