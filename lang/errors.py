"""Every exception that treegram raises on purpose.

    TreegramError
    ├── ProgramError          the program is wrong: signature, misuse of a state
    │   └── VariableError     a variable that was never generated (also a KeyError)
    ├── ConstraintError       a constraint cannot be compiled (also a ValueError)
    │   ├── RegexError        with `column` and a caret
    │   ├── SchemaError       with the JSON `path` and the `keyword`
    │   └── GrammarError      a grammar the printer or the parser refuses
    ├── ParameterError        an argument out of its range (also a ValueError), with `parameter`
    ├── OutputError           an output that is no value of its constraint: cut, or refused
    ├── ModelError            a GGUF that is missing, damaged or not supported
    ├── ContextOverflowError  a request that would not fit the context even alone
    ├── CancelledError        the program was cancelled
    └── EngineError           llama.cpp failed, or the engine is closed

Messages say what was wrong, where, what was expected and what to do; the same facts are fields.
"""

from __future__ import annotations


class TreegramError(Exception):
    """Base of everything that treegram raises on purpose."""


class ProgramError(TreegramError):
    """The program is used wrongly: its signature, its state, or the order of its calls."""


class VariableError(ProgramError, KeyError):
    """A variable that no `gen`, `select` or assignment has made.

    `name` is the variable, `known` the names that exist.
    """

    def __init__(self, name: str, known: list[str]) -> None:
        self.name = name
        self.known = known
        have = ", ".join(repr(k) for k in known) or "none yet"
        super().__init__(
            f"no variable {name!r} in this state; known: {have}. "
            f"Append gen({name!r}) or select({name!r}, ...) before reading it."
        )

    def __str__(self) -> str:  # KeyError would show repr()
        return str(self.args[0])


class ConstraintError(TreegramError, ValueError):
    """A constraint that cannot be compiled. Nothing is ever loosened silently."""


_SHOWN = 800
"""Characters of a pattern or a path in a message; the error's field has them all."""


class RegexError(ConstraintError):
    """A regex that is invalid or uses syntax with no exact grammar.

    `column` counts from 0 into `pattern`; the message points a caret at it.
    """

    def __init__(self, message: str, pattern: str, column: int) -> None:
        self.pattern = pattern
        self.column = column
        first = max(0, column - _SHOWN // 2) if len(pattern) > _SHOWN else 0
        shown = pattern[first : first + _SHOWN]
        caret = "".join("\t" if c == "\t" else " " for c in shown[: column - first]) + "^"
        super().__init__(f"regex: {message} at column {column}\n  {shown}\n  {caret}")


class SchemaError(ConstraintError):
    """A JSON Schema that cannot be compiled exactly.

    `path` is the JSON path of the schema node (`$.properties.age`), `keyword` the one at fault.
    """

    def __init__(self, message: str, path: str, keyword: str | None = None) -> None:
        self.path = path
        self.keyword = keyword
        half = _SHOWN // 2
        shown = path if len(path) <= _SHOWN else f"{path[:half]}...{path[-half:]}"
        super().__init__(f"schema at {shown}: {message}")


class GrammarError(ConstraintError):
    """A grammar that is malformed, too large, or that GBNF cannot express.

    `line` and `column` count from 1 into the GBNF text, and are None where there is no text.
    """

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        self.line = line
        self.column = column
        super().__init__(message)


class ParameterError(TreegramError, ValueError):
    """An argument outside its range. `parameter` names it."""

    def __init__(self, parameter: str, message: str) -> None:
        self.parameter = parameter
        super().__init__(f"{parameter}: {message}")


class OutputError(TreegramError):
    """An output that is no value of its constraint.

    Raised on reading the variable: `text` is what was generated, `finish_reason` why it ended
    (`"length"`: raise max_tokens).
    """

    def __init__(self, message: str, name: str, text: str, finish_reason: str) -> None:
        self.name = name
        self.text = text
        self.finish_reason = finish_reason
        super().__init__(message)


class ModelError(TreegramError):
    """A model file that is missing, damaged, or of a kind that is not supported."""


class ContextOverflowError(TreegramError):
    """A request that cannot fit the context even with nothing else in it.

    `needed_tokens` and `context_tokens` say by how much.
    """

    def __init__(self, needed_tokens: int, context_tokens: int) -> None:
        self.needed_tokens = needed_tokens
        self.context_tokens = context_tokens
        super().__init__(
            f"the request needs {needed_tokens} tokens of context and the model was loaded with "
            f"{context_tokens}; shorten the prompt, load the model with a larger n_ctx, or let a "
            "gen go on without its oldest tokens (overflow='shift')"
        )


class CancelledError(TreegramError):
    """The program was cancelled before it finished."""


class EngineError(TreegramError):
    """llama.cpp failed, or the engine was closed while requests were running."""
