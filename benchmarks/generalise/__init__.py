"""The parts of ``benchmarks/generalisation.py``, one question a file."""
