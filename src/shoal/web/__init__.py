"""The door of a node: one table of verbs, a daemon that serves it, and who knocks."""
