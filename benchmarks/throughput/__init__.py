"""The parts of ``benchmarks/training.py``, one question a file."""
