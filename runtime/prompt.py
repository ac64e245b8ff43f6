"""From prompt spans to token ids: who may spell control tokens, and where healing backs up.

Template text is tokenised with control tokens parsed, user text without, generated text is the
tokens that were sampled. Neighbouring texts of one kind are joined first: tokenising piecewise
disagrees with the whole at most cuts. An image is the tokens that its reader gives it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..lang.base import Generated, Prompt, Span, Text
from ..lang.errors import ParameterError
from ..lang.images import Picture
from .base import Tokenizer
from .pseudo_tokens import ImageTokens, PromptImages

HEAL_TOKENS = 4


@dataclass(frozen=True, slots=True)
class TokenPrompt:
    """Token ids, and the text behind them that the first generated tokens respell (healing)."""

    tokens: list[int]
    prefix: str = ""
    images: PromptImages | None = None


def tokenize(
    prompt: Prompt,
    tokenizer: Tokenizer,
    *,
    bos: int | None,
    heal: bool,
    read_image: Callable[[Picture], ImageTokens] | None = None,
) -> TokenPrompt:
    """Token ids of a prompt.

    Args:
        bos: the token a prompt of this model starts with, or None. Not doubled where the template
            already writes it; added alone where the prompt is empty.
        heal: back up the last token of trailing user text, so that the model may choose a longer
            one across the boundary. Never across template or generated text.
        read_image: gives an image its tokens; None if the model has no projector.

    Raises:
        ParameterError: the text holds half of a surrogate pair, which no tokeniser can read; a
            generated token is not in the vocabulary; there is an image, and no projector; or it
            cannot be decoded.
    """
    spans = _joined(prompt)
    tokens: list[int] = []
    prefix = ""
    n_vocab = len(tokenizer.vocabulary.pieces)
    images: list[ImageTokens] = []
    for i, span in enumerate(spans):
        if isinstance(span, Generated):
            if span.tokens and not 0 <= min(span.tokens) <= max(span.tokens) < n_vocab:
                raise ParameterError(
                    "prompt",
                    f"it has generated tokens that this model does not have; it has {n_vocab}",
                )
            tokens.extend(span.tokens)
            continue
        if isinstance(span, Picture):
            if read_image is None:
                raise ParameterError(
                    "image",
                    "the model was loaded without a projector; give its mmproj GGUF as "
                    "ModelOptions(projector=...), Runtime(projectors=...) or --projector",
                )
            images.append(read_image(span))
            tokens.extend(images[-1].tokens)
            continue
        try:
            ids = tokenizer.encode(span.text, special=span.template, start=not tokens)
        except UnicodeEncodeError as error:
            raise _surrogate(error) from error
        if heal and i == len(spans) - 1 and not span.template:
            ids, prefix = _healed(span.text, ids, tokenizer, start=not tokens)
        tokens.extend(ids)
    if bos is not None and tokens[:1] != [bos]:
        tokens.insert(0, bos)
    return TokenPrompt(tokens, prefix, PromptImages(images) if images else None)


def _surrogate(error: UnicodeEncodeError) -> ParameterError:
    text, at = error.object, error.start
    return ParameterError(
        "prompt",
        f"{text[at]!r} after {text[max(0, at - 20) : at]!r} is half of a surrogate pair, no text; "
        "decode the input with errors='replace' where it is read",
    )


def _joined(prompt: Iterable[Span]) -> list[Span]:
    spans: list[Span] = []
    for span in prompt:
        last = spans[-1] if spans else None
        if isinstance(span, Generated):
            if span.prefix:
                if not (isinstance(last, Text) and last.text.endswith(span.prefix)):
                    # moved behind other text (a join): its tokens would respell what is not there
                    spans.append(Text(span.text))
                    continue
                rest = last.text[: len(last.text) - len(span.prefix)]
                spans[-1:] = [Text(rest, last.template)] if rest else []
            spans.append(span)
        elif isinstance(span, Picture):
            spans.append(span)
        elif isinstance(last, Text) and last.template == span.template:
            spans[-1] = Text(last.text + span.text, span.template)
        elif span.text:
            spans.append(span)
    return spans


def _healed(
    text: str, ids: list[int], tokenizer: Tokenizer, *, start: bool
) -> tuple[list[int], str]:
    """Backs up to a cut where the shorter text has exactly the first tokens of the longer."""
    pieces = tokenizer.vocabulary.pieces
    data = text.encode()
    tail = b""
    for n in range(1, min(HEAL_TOKENS, len(ids)) + 1):
        tail = pieces[ids[-n]] + tail
        if not data.endswith(tail):  # a byte that the vocabulary cannot spell was dropped
            break
        try:
            head = data[: len(data) - len(tail)].decode()
        except UnicodeDecodeError:
            continue
        if tokenizer.encode(head, start=start) == ids[:-n]:
            return ids[:-n], text[len(head) :]
    return ids, ""
