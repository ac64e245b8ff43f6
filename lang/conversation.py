"""What a state has said so far, and how it becomes a prompt.

A conversation is a log of text pieces and role marks. It is optional raw text, then chat messages,
then optional raw text. The messages always go through the model's chat template as a whole,
because templates are not incremental: the rendering of one turn need not be a prefix of the next.
Raw text comes before or after that rendering as it stands; between two messages no template has a
place for it, so that is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from .base import Backend, Message, Prompt, Span, Text
from .errors import ProgramError
from .expr import RoleBegin, RoleEnd
from .images import Picture


@dataclass(frozen=True, slots=True)
class Piece:
    """Text of the conversation; `variable` names the generation that made it."""

    spans: Prompt
    variable: str | None = None

    @property
    def text(self) -> str:
        return text_of(self.spans)


Entry: TypeAlias = Piece | RoleBegin | RoleEnd

# Private-use characters: no template strips or parses them.
_CUT = "\ue000cut\ue001"


def text_of(spans: Iterable[Span]) -> str:
    """The plain text of spans."""
    return "".join(span.text for span in spans)


def content_of(spans: Sequence[Span]) -> str | list[dict[str, Any]]:
    """What OpenAI's API calls the content of a message: its text, or its parts if it has images."""
    if not any(isinstance(span, Picture) for span in spans):
        return text_of(spans)
    return [
        {"type": "image_url", "image_url": {"url": span.data_url}}
        if isinstance(span, Picture)
        else {"type": "text", "text": span.text}
        for span in spans
    ]


@dataclass(slots=True)
class Conversation:
    """A log folded into its three parts; the last message may still be open."""

    before: list[Span] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    open_role: str | None = None
    open_spans: list[Span] = field(default_factory=list)
    after: list[Span] = field(default_factory=list)


def fold(entries: Iterable[Entry]) -> Conversation:
    """The conversation that a log describes. The log's roles are balanced (RoleOrder saw to it)."""
    done = Conversation()
    for entry in entries:
        if isinstance(entry, RoleBegin):
            done.open_role = entry.role
            done.open_spans = []
        elif isinstance(entry, RoleEnd):
            done.messages.append(Message(entry.role, _merged(done.open_spans)))
            done.open_role = None
            done.open_spans = []
        elif done.open_role is not None:
            done.open_spans.extend(entry.spans)
        elif done.messages:
            done.after.extend(entry.spans)
        else:
            done.before.extend(entry.spans)
    return done


def render(entries: Sequence[Entry], backend: Backend) -> Prompt:
    """The whole prompt at the end of a log, ready to be continued.

    Raises ProgramError if the model's template drops the text of the open message, and whatever
    the template itself raises.
    """
    conversation = fold(entries)
    spans = list(conversation.before)
    if conversation.open_role is not None:
        spans.extend(_render_open(conversation, conversation.open_role, backend))
    elif conversation.messages:
        spans.extend(backend.render_chat(conversation.messages, add_generation_prompt=False))
    spans.extend(conversation.after)
    return _merged(spans)


def _render_open(conversation: Conversation, role: str, backend: Backend) -> Prompt:
    content = _merged(conversation.open_spans)
    if role == "assistant":
        head = backend.render_chat(conversation.messages, add_generation_prompt=True)
        return (*head, *content)
    # Only a finished message can be rendered: finish it behind a mark, then cut at the mark.
    finished = Message(role, (*content, Text(_CUT)))
    rendered = backend.render_chat([*conversation.messages, finished], add_generation_prompt=False)
    kept: list[Span] = []
    for span in rendered:
        if isinstance(span, Text) and _CUT in span.text:
            kept.append(Text(span.text[: span.text.index(_CUT)], span.template))
            return tuple(kept)
        kept.append(span)
    raise ProgramError(
        f"the model's chat template does not show the text of {role} messages, so nothing can be "
        f"generated inside one; generate inside an assistant message"
    )


def _merged(spans: Iterable[Span]) -> Prompt:
    """Joins neighbouring texts of one kind, so that they are tokenised as one text."""
    merged: list[Span] = []
    for span in spans:
        last = merged[-1] if merged else None
        if not span.text and isinstance(span, Text):
            continue
        if isinstance(span, Text) and isinstance(last, Text) and span.template == last.template:
            merged[-1] = Text(last.text + span.text, last.template)
        else:
            merged.append(span)
    return tuple(merged)


class RoleOrder:
    """Checks roles as the program appends them, so that a mistake is reported at its own line.

    `marks` is what was appended, with runs of text as one None: a join replays a branch's marks on
    its parent.
    """

    def __init__(self, open_role: str | None = None, place: str = "before") -> None:
        self.open_role = open_role
        self._place = place
        self.marks: list[RoleBegin | RoleEnd | None] = []

    def branch(self) -> RoleOrder:
        """A fresh order that goes on from here."""
        return RoleOrder(self.open_role, self._place)

    def add(self, mark: RoleBegin | RoleEnd | None) -> None:
        """Takes a role mark, or None for text. Raises ProgramError where it cannot stand."""
        if isinstance(mark, RoleBegin):
            self._begin(mark.role)
        elif isinstance(mark, RoleEnd):
            self._end(mark.role)
        elif self.open_role is None and self._place == "messages":
            self._place = "after"
        if mark is not None or not self.marks or self.marks[-1] is not None:
            self.marks.append(mark)

    def _begin(self, role: str) -> None:
        if self.open_role is not None:
            raise ProgramError(
                f"{role} message begun inside the open {self.open_role} message; "
                f"end that first (messages do not nest)"
            )
        if self._place == "after":
            raise ProgramError(
                f"{role} message begun after raw text that follows earlier messages; a chat "
                f"template has no place for text between messages. Put that text inside one."
            )
        self.open_role = role
        self._place = "messages"

    def _end(self, role: str) -> None:
        if self.open_role != role:
            now = f"the open message is {self.open_role}" if self.open_role else "none is open"
            raise ProgramError(f"{role} message ended, but {now}")
        self.open_role = None
