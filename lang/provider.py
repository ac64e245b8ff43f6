"""Where `model="name"` is looked up.

The language cannot import the runtime, so the package's top level installs the provider; a test or
an application may install its own. This is the one process-wide setting of the language.
"""

from __future__ import annotations

from .base import Backend, ModelProvider
from .errors import ProgramError


class _Default:
    provider: ModelProvider | None = None


def set_default_runtime(provider: ModelProvider | None) -> ModelProvider | None:
    """Sets who resolves `model=` given as a name or left out; returns who did so before."""
    previous, _Default.provider = _Default.provider, provider
    return previous


def resolve_model(model: str | Backend | None) -> Backend:
    """The backend that `model=` means. Raises ProgramError, or ModelError for an unknown name."""
    if model is not None and not isinstance(model, str):
        if not callable(getattr(model, "submit", None)):
            raise ProgramError(
                f"model={model!r:.80} is neither a model's name nor a backend; expected a name, "
                f"a path, or an object such as Runtime().model(name) or ScriptedBackend(...)"
            )
        return model
    if _Default.provider is None:
        raise ProgramError("no runtime is set; call set_default_runtime(...) or pass a backend")
    return _Default.provider.model(model)
