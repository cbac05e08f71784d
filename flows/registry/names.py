"""The registered model that commands are about."""

from flows.running import settings


def model_name(given: str | None) -> str:
    """The name that was given, or register.name of params.yaml."""
    if given:
        return given
    return str(settings.load_params()["register"].get("name", "tagdag"))
