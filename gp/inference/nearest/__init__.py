"""Inference from nearest neighbours: Vecchia's approximation."""
