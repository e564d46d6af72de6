"""The model: mean, kernel and noise, as a user writes them, and as built for a data set."""
