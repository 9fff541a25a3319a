"""What a trained network says of files that it has not seen: pictures, or recordings."""
