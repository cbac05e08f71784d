"""What the served model uses of MLflow that MLflow does not promise to keep; it travels along.

tests/flows/serving/test_model.py says when another MLflow has changed any of it.
"""

import os

# Set by MLflow's scoring server, ours and `mlflow models serve` alike, and by nothing in public.
# Without it a server would answer 200 to a request of which no image can be used, with NaN.
SERVING = "_MLFLOW_IS_IN_SERVING_ENVIRONMENT"

# A field of MLmodel: the model looks at its input itself. Otherwise MLflow makes a table of every
# input by the signature: then a list of images, of which it knows no kind but bytes, an array or a
# table of more columns than the images is refused. In public only classes that are pickled, or are
# run as a script, can say so.
UNCHECKED = {"is_signature_from_type_hint": True}


def serving() -> bool:
    """Whether this process answers requests of others."""
    return os.environ.get(SERVING) == "true"
