"""Exact inference in linear time for one input and kernels that have a state space: a Kalman filter and smoother."""
