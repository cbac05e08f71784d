"""A person's consent before the champion changes, where TAGDAG_APPROVAL asks for it.

With a Prefect server the run of register pauses, and its page asks for a yes or a no and a reason;
`prefect flow-run resume` does not do, it gives no answer. Without one the challenger stays what it
is, and `python -m flows.promote` is the consent.
"""

from typing import Any

from engine.core.environment import value
from flows.running.artifacts import run_page
from flows.running.orchestrate import log, orchestrated
from flows.running.webhook import notify

POLL = 5  # seconds from one look for an answer to the next


def wanted() -> bool:
    """Whether the champion changes by a person's consent only."""
    return value("TAGDAG_APPROVAL") > 0


def approved(name: str, version: str, why: str) -> tuple[bool, str]:
    """(whether the challenger may take over, by whose word); waits for an answer if need be."""
    if not wanted():
        return True, ""
    command = f"python -m flows.promote {version} --reason ..."
    if not orchestrated():
        return False, f"a person is to approve it: {command}"
    try:
        answer = _asked(name, version, why)
    except Exception as error:  # of Prefect, or of what a person typed
        log.warning("no approval of version %s: %s", version, str(error).partition("\n")[0][:200])
        return False, f"nobody approved it ({type(error).__name__}); later: {command}"
    reason = " ".join(answer.reason.split())[:200] or "no reason given"
    return answer.approve, f"{'approved' if answer.approve else 'refused'}: {reason}"


def _asked(name: str, version: str, why: str) -> Any:
    from prefect.flow_runs import pause_flow_run
    from prefect.input import RunInput
    from pydantic import Field

    class Approval(RunInput):
        approve: bool = Field(False, description=f"Version {version} becomes champion")
        reason: str = Field("", description="Why, for those who read it later")

    about = f"**{name} version {version}** may become champion: {why}."
    asked = Approval.with_initial_data(description=about)
    notify("approval wanted", "register", model=name, challenger=version, why=why, at=run_page())
    seconds = 3600 * value("TAGDAG_APPROVAL")
    return pause_flow_run(asked, timeout=max(1, int(seconds)), poll_interval=POLL)
