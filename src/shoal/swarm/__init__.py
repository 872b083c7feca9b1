"""Many peers exchange the same content."""
