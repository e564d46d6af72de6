"""What changed between two revisions, and whether scores differ by more than noise."""
