"""Fitted models: fitting, prediction, the certificate, and the model file."""
