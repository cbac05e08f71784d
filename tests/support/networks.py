"""Sections of networks that are small enough to be trained within a test."""

TINY = {
    "name": "regnet",
    "depth": 3,
    "w_0": 16,
    "w_a": 8,
    "w_m": 2,
    "group_width": 8,
    "stem_width": 8,
}
