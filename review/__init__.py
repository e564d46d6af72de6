"""Pages and checks for a reviewer: what was found, and what a change did to it. Nothing is recomputed, offline."""
