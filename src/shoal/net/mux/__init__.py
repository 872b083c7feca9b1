"""Many streams on one connection: cores without I/O."""
