"""A drawn data set in Open-i's file formats: chest-film-like pictures, reports about them, and the usual warts."""
