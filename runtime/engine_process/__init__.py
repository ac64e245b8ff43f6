"""The engine in a process of its own."""

from .model_process import ModelProcess

__all__ = ["ModelProcess"]
