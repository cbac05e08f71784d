import engine  # noqa: F401 - sets how threads wait, before anything loads torch
