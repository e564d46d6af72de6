"""Hyperparameters: how a user writes them, their priors, and the vector in which they are learnt."""
