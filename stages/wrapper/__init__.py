"""What a stage reads and writes: fingerprints, whole outputs, stamps, compiled code (stages/__init__.py uses them)."""
