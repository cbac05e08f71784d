"""MLflow, or where it keeps files, away or overloaded: which of its errors waiting mends."""

from corpus.sources import s3
from flows.running import sqlite
from flows.running.retry import Away, Outage, Retry
from flows.tracking.artifacts import is_unreachable, place, s3_error
from flows.tracking.mlflow_private import OUTDATED

# of SQLite's errors, which MLflow all takes for an outage, those that waiting does not mend
LASTING = ("readonly database", "no such table", "no such column", OUTDATED)
REFUSED = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE")


def is_away(error: Exception) -> bool:
    """Whether a call failed because MLflow is away or overloaded, not because it refused."""
    if isinstance(error, Away):
        return True
    if type(error) is ValueError:  # ours, said once and for all
        return False
    of_s3 = s3_error(error)
    if of_s3 is not None:
        return s3.passing(of_s3) or is_unreachable(of_s3)
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    if any(words in str(error) for words in (*LASTING, *sqlite.DAMAGED)):
        return False
    if isinstance(error, MlflowException):
        # 429: too many requests, which passes
        return error.get_http_status_code() >= 500 or error.get_http_status_code() == 429
    answer = getattr(error, "response", None)
    return isinstance(error, RequestException) and (answer is None or answer.status_code >= 500)


def is_refusal(error: Exception) -> bool:
    """Whether MLflow took a call and refused what it said, now and for ever."""
    from mlflow.exceptions import MlflowException

    final = isinstance(error, MlflowException) and error.error_code in REFUSED
    return final and not any(words in str(error) for words in sqlite.DAMAGED)


def cause_of(error: Exception) -> str:
    """The first line of an error, short."""
    return str(error).partition("\n")[0][:300]


def _failure(error: Exception) -> Exception:
    """The error itself, or what is to be done: of a damaged file, or of S3."""
    of_s3 = s3_error(error)
    if of_s3 is not None:
        return ValueError(str(s3.told(place() or "MLflow's files", of_s3)))
    damaged = sqlite.damage_of(error, "MLflow's data base")
    return ValueError(damaged) if damaged else error


outage = Outage("MLflow")
retry = Retry(
    outage, "TAGDAG_MLFLOW_PATIENCE", is_away, cause_of, failure=_failure, first=1.0, longest=10.0
)
