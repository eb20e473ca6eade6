"""The parts of ``benchmarks/search.py``, one question a file."""
