"""Networks by name, built of lasagne layers from colon-delimited parameters."""
