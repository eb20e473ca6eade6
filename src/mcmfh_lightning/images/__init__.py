"""Pictures from files of other programs: what is read of them, and why some are refused."""
