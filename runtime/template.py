"""A model's own chat template, rendered safely and with every character's origin known.

Special tokens may be parsed only in the template's own text, never in a message's. The rendering
is one flat string, so the origin of its characters is found by rendering twice, the second time
with an unmistakable mark in place of each content:

    real     <|im_start|>user\\nHi <|im_end|> there<|im_end|>\\n
    marked   <|im_start|>user\\n[MARK 0]<|im_end|>\\n
             template          content of 0       template

Between the marks the two must agree exactly, with each content in the place of its mark, as it is
or stripped. Where they do not (the template rewrites contents in another way), no character after
the first mark counts as template text: special tokens are then spelled as plain text, which may
cost quality but never lets a user's text act as a control token.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress

import jinja2
from jinja2.exceptions import SecurityError

from ..lang.base import Generated, Message, Prompt, Span, Text
from ..lang.errors import ModelError, ProgramError
from ..lang.images import Picture
from .template_sandbox import BoundedEnvironment, Refused

MAX_SOURCE_CHARS = 1_000_000


class ChatTemplate:
    """A chat template. Rendering is thread-safe."""

    def __init__(self, source: str, bos: str = "", eos: str = "") -> None:
        """Compiles `source`. `bos` and `eos` are the texts of those tokens.

        Raises ModelError for a template that is no valid jinja2.
        """
        if len(source) > MAX_SOURCE_CHARS:
            raise ModelError(
                f"the model's chat template has {len(source)} characters; at most "
                f"{MAX_SOURCE_CHARS} are accepted"
            )
        self.source, self.bos, self.eos = source, bos, eos
        self._tokens = {"bos_token": bos, "eos_token": eos}
        self._environment = BoundedEnvironment()
        try:
            self._template = self._environment.from_string(source)
        except jinja2.TemplateSyntaxError as exc:
            raise ModelError(
                f"the model's chat template is invalid at line {exc.lineno}: {exc.message}"
            ) from exc
        except RecursionError:
            raise ModelError("the model's chat template is nested too deeply") from None

    def render(self, messages: Sequence[Message], add_generation_prompt: bool) -> Prompt:
        """The prompt for `messages`; template text is marked, contents keep their own spans.

        Raises ProgramError where the template itself refuses the conversation (roles that do not
        alternate, a role it does not know), ModelError where it fails or exceeds its bounds.
        """
        for message in messages:
            # A role is written into template text, where special tokens are parsed.
            if not re.fullmatch(r"[A-Za-z0-9_-]+", message.role):
                raise ProgramError(
                    f"role {message.role!r:.80}: expected letters, digits, '_' or '-'"
                )
        contents = ["".join(span.text for span in message.content) for message in messages]
        roles = [message.role for message in messages]
        rendered = self._render(roles, contents, add_generation_prompt)
        marks = self._marks(contents)
        # An empty content stays empty: templates ask `if message.content`.
        shown = [mark if content else "" for mark, content in zip(marks, contents, strict=True)]
        try:
            marked = self._render(roles, shown, add_generation_prompt)
        except (ModelError, ProgramError):
            return (Text(rendered),)  # the template wants contents of a certain form
        if any(shown) and not _shows(marked, shown):
            # as templates of vision models do that want contents as lists of parts
            with suppress(ModelError, ProgramError):
                again = self._render(roles, shown, add_generation_prompt, in_parts=True)
                if _shows(again, shown):
                    rendered = self._render(roles, contents, add_generation_prompt, in_parts=True)
                    marked = again
        return _aligned(rendered, _split(marked, marks), messages, contents)

    def _marks(self, contents: Sequence[str]) -> list[str]:
        """One text per content that occurs nowhere else."""
        everything = "\0".join([self.source, *self._tokens.values(), *contents])
        for salt in itertools.count():
            if f"\ue000{salt}." not in everything:
                return [f"\ue000{salt}.{index}\ue001" for index in range(len(contents))]
        raise AssertionError("itertools.count() does not end")

    def _render(
        self,
        roles: Sequence[str],
        contents: Sequence[str],
        add_generation_prompt: bool,
        *,
        in_parts: bool = False,
    ) -> str:
        variables = {
            **self._tokens,
            "messages": [
                {
                    "role": role,
                    "content": [{"type": "text", "text": content}] if in_parts else content,
                }
                for role, content in zip(roles, contents, strict=True)
            ],
            "add_generation_prompt": add_generation_prompt,
            "tools": None,
            "documents": None,
        }
        try:
            return self._environment.run(self._template, variables)
        except Refused as exc:
            raise ProgramError(
                f"the model's chat template refuses this conversation "
                f"(roles: {', '.join(roles) or 'none'}): {exc}"
            ) from None
        except SecurityError as exc:
            raise ModelError(f"the model's chat template does what it must not: {exc}") from exc
        except RecursionError:
            raise ModelError("the model's chat template recurses without end") from None
        except MemoryError:
            raise ModelError("the model's chat template needs too much memory") from None
        except Exception as exc:
            raise ModelError(
                f"the model's chat template fails on this conversation "
                f"(roles: {', '.join(roles) or 'none'}): {exc}"
            ) from exc


def chat_prompt(
    model: str,
    template: ChatTemplate | None,
    messages: Sequence[Message],
    add_generation_prompt: bool,
) -> Prompt:
    """What `Backend.render_chat` gives for a model of this template. Raises as `render` does.

    Raises ModelError, too, if the model has no template.
    """
    if template is None:
        raise ModelError(
            f"{model}: this GGUF has no chat template, so roles cannot be rendered; "
            "write the prompt as plain text, or use an instruction-tuned model"
        )
    prompt = template.render(messages, add_generation_prompt)
    wanted = [span for message in messages for span in message.content if isinstance(span, Picture)]
    if wanted != [span for span in prompt if isinstance(span, Picture)]:
        raise ProgramError(
            f"{model}: the model's chat template rewrites or drops a message that has an image; "
            "write the prompt as plain text around the image"
        )
    return prompt


# Telling template text from contents


def _shows(marked: str, marks: Sequence[str]) -> bool:
    return any(mark and mark in marked for mark in marks)


def _split(marked: str, marks: Sequence[str]) -> list[str | int]:
    """Template texts and, in place of each mark, its content's index: text, index, text, ..."""
    if not marks:
        return [marked]
    pattern = "(" + "|".join(re.escape(mark) for mark in marks) + ")"
    index_of = {mark: index for index, mark in enumerate(marks)}
    parts = re.split(pattern, marked)
    return [part if i % 2 == 0 else index_of[part] for i, part in enumerate(parts)]


def _aligned(
    rendered: str, parts: Sequence[str | int], messages: Sequence[Message], contents: Sequence[str]
) -> Prompt:
    spans: list[Span] = []
    position = 0
    for i in range(0, len(parts), 2):
        text = str(parts[i])
        if not rendered.startswith(text, position):
            return _mostly_plain(rendered, parts)
        spans.append(Text(text, template=True))
        position += len(text)
        if i + 1 < len(parts):
            index = int(parts[i + 1])
            found = _found(rendered, position, contents[index], str(parts[i + 2]))
            if found is None:
                return _mostly_plain(rendered, parts)
            start, stop = found
            spans.extend(_cut(messages[index].content, start, stop))
            position += stop - start
    if position != len(rendered):
        return _mostly_plain(rendered, parts)
    return tuple(span for span in spans if span.text or isinstance(span, Generated))


def _found(rendered: str, position: int, content: str, following: str) -> tuple[int, int] | None:
    """Which part of `content` stands at `position`, right before the template's `following`."""
    left = len(content) - len(content.lstrip())
    right = len(content.rstrip())
    # Reasoning templates keep only what follows the thinking part of earlier answers.
    answer = content.rfind("</think>") + len("</think>") if "</think>" in content else 0
    answer_left = len(content) - len(content[answer:].lstrip())
    ranges = [(0, len(content)), (left, right), (left, len(content)), (0, right)]
    ranges += [(start, stop) for start in (answer, answer_left) for stop in (len(content), right)]
    for start, stop in ranges:
        if start <= stop and rendered.startswith(content[start:stop] + following, position):
            return start, stop
    return None


def _mostly_plain(rendered: str, parts: Sequence[str | int]) -> Prompt:
    """The fallback: template text up to the first content, plain text from there."""
    head = str(parts[0])
    if not rendered.startswith(head):
        return (Text(rendered),)
    spans = (Text(head, template=True), Text(rendered[len(head) :]))
    return tuple(span for span in spans if span.text)


def _cut(content: Prompt, start: int, stop: int) -> Iterator[Span]:
    """The spans of a content between two characters of its text."""
    position = 0
    for span in content:
        first, last = max(start - position, 0), min(stop - position, len(span.text))
        begin, position = position, position + len(span.text)
        before = len(span.prefix) if isinstance(span, Generated) else 0
        is_whole = (first, last) == (0, len(span.text)) and begin - start >= before
        if is_whole and not isinstance(span, Text):
            yield span
        elif first < last:
            # The tokens of a generation that the template shortened spell another text.
            yield Text(span.text[first:last], isinstance(span, Text) and span.template)
