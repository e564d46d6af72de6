"""Inference with inducing inputs: the collapsed bound over all rows (sgpr), and minibatches (svgp)."""
