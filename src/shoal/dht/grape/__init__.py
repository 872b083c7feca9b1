"""Grenache's DHT: services by name, and BEP 44's values."""
