"""What dvc.lock and DVC's cache hold: why stages would run, whether results can be relied on, other revisions."""
