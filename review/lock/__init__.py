"""What dvc.lock and DVC's cache tell: why stages would run, whether results are reliable, other revisions."""
