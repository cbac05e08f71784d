"""Prefect's own objects of the flows that prefect.yaml names: a worker of a work pool imports
them.
"""

from flows.pipeline import pipeline as dispatched
from flows.tools.watch import watch as watching

pipeline = dispatched.prefect()
watch = watching.prefect()
