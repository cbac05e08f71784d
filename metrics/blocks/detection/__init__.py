"""Objects found in images held to the annotated ones: what the average precisions share.

`average.py` first: it says how a metric is made of the others.
"""
