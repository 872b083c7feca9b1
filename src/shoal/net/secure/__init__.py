"""Who is at the other end, and nobody else listens: cores without I/O."""
