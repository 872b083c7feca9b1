"""A world in one process: public, for our tests and for everybody's."""
