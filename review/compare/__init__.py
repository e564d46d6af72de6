"""What changed between two revisions, and whether it is better beyond the noise."""
