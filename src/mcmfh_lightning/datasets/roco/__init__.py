"""ROCO, Radiology Objects in COntext: figures of open-access articles with their captions."""
