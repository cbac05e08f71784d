"""Prefect's own object of the pipeline, which prefect.yaml names: a worker of a work pool imports it and runs it."""

from flows.pipeline import pipeline as dispatched

pipeline = dispatched.prefect()
