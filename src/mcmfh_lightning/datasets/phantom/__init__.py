"""Drawn data set in Open-i's file formats: pictures like chest films, reports about them, and faults of real ones."""
