"""One page over all studies: the results, and how certain they are."""
