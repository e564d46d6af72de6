"""The model: mean, kernel and noise, as a user writes them and as they are built over the data."""
