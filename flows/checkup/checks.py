"""All checks of `tagdag doctor`, in their order."""

from collections.abc import Iterator

from flows.checkup import machine, project, services
from flows.checkup.finding import Finding, guarded

CHECKS = {
    "Python": machine.python,
    "packages": machine.packages,
    "processor": machine.processor,
    "GPU": machine.gpu,
    "disk": machine.disk,
    "environment": project.variables,
    "git": project.git,
    "params.yaml": project.params,
    "data": project.data,
}
SERVICES = {"MLflow": services.mlflow, "Prefect": services.prefect, "remotes": services.remotes}


def findings() -> Iterator[tuple[str, Finding]]:
    """Every check with what it found, one after the other."""
    for name, check in CHECKS.items():
        yield name, guarded(check)
    dates: list[str] = []  # that servers have answered with
    for name, ask in SERVICES.items():
        yield name, guarded(ask, dates)
    yield "clock", guarded(machine.clock, dates)
