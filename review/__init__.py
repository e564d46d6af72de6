"""Pages that a reviewer reads: what was found, and what a change did. Nothing is recomputed, no network is needed."""
