from engine.core import waiting  # noqa: F401 - before anything loads torch
