"""What people do with a node: one file each, and the best examples of how to use Shoal."""
