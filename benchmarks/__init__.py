"""Speed, memory and accuracy beside other Gaussian process libraries: `python -m benchmarks` (README.md)."""
