"""Structured overlays: find by key.  Engines know no bytes, dialects decide nothing."""
