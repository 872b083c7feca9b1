"""The field's claims as experiments."""
