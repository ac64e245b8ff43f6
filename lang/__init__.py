"""The language: what users write, and the grammars that their constraints compile to."""

from .automaton.substring import Place, SubstringOf
from .base import (
    Backend,
    ChoiceScore,
    Handle,
    Message,
    ModelProvider,
    TokenLogprob,
    Usage,
)
from .batch import BatchInterrupted
from .confidence import Confidence
from .errors import (
    CancelledError,
    ConstraintError,
    ContextOverflowError,
    EngineError,
    GrammarError,
    ModelError,
    OutputError,
    ParameterError,
    ProgramError,
    RegexError,
    SchemaError,
    TreegramError,
    VariableError,
)
from .expr import (
    assistant,
    assistant_begin,
    assistant_end,
    image,
    system,
    system_begin,
    system_end,
    user,
    user_begin,
    user_end,
)
from .fork import Fork
from .grammar import Grammar
from .json_schema.compile import Note
from .json_schema.layout import Layout as JsonLayout
from .ordering import OrderReport
from .primitives import gen, gen_int, gen_string, reasoning, select
from .program import Program, function
from .provider import set_default_runtime
from .sampling import SamplingParams
from .scripted import Answer, ScriptedBackend
from .state import State
from .stream import Delta, Stream
from .tags import Region, Tag, Tags
from .types.tools import ToolCall, tool_schemas
from .unordered import unordered
from .variables import GenMeta

__all__ = [
    "Answer",
    "Backend",
    "BatchInterrupted",
    "CancelledError",
    "ChoiceScore",
    "Confidence",
    "ConstraintError",
    "ContextOverflowError",
    "Delta",
    "EngineError",
    "Fork",
    "GenMeta",
    "Grammar",
    "GrammarError",
    "Handle",
    "JsonLayout",
    "Message",
    "ModelError",
    "ModelProvider",
    "Note",
    "OrderReport",
    "OutputError",
    "ParameterError",
    "Place",
    "Program",
    "ProgramError",
    "RegexError",
    "Region",
    "SamplingParams",
    "SchemaError",
    "ScriptedBackend",
    "State",
    "Stream",
    "SubstringOf",
    "Tag",
    "Tags",
    "TokenLogprob",
    "ToolCall",
    "TreegramError",
    "Usage",
    "VariableError",
    "assistant",
    "assistant_begin",
    "assistant_end",
    "function",
    "gen",
    "gen_int",
    "gen_string",
    "image",
    "reasoning",
    "select",
    "set_default_runtime",
    "system",
    "system_begin",
    "system_end",
    "tool_schemas",
    "unordered",
    "user",
    "user_begin",
    "user_end",
]
