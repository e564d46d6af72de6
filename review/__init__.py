"""Pages and checks for a reviewer: the results, and what a change did to them. Needs no network and runs no stage."""
