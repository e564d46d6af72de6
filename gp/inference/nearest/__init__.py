"""Inference from nearest neighbours, beside inducing inputs: Vecchia's approximation at full scale."""
