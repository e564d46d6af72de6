"""Kernel matrices and their gradients, tile by tile, and Cholesky factors."""
