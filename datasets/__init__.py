"""What networks learn from: pictures and their labels, found, split, stored and opened again."""
