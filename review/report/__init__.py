"""One page over all studies: what was found, and how sure."""
