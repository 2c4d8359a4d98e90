"""What a tree means, or why it means nothing: names, types, kinds and units, every error at once."""
