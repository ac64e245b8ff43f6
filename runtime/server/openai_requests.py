"""What `/v1/chat/completions` and `/v1/completions` take, field by field.

A field that is not here is a 400 that names it: a server that ignores a constraint field answers
with unconstrained text, and nobody notices. Fields that cannot change the output are accepted by
name (`HARMLESS`). Values are checked strictly; `null` means absent.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    model_validator,
)

from ...lang.base import Prompt, Text
from ...lang.images import Picture, picture_of_url

HARMLESS = frozenset(
    {
        "metadata",  # labels for OpenAI's dashboard
        "prediction",  # a hint for speed; the output is the same
        "prompt_cache_key",  # routing of OpenAI's cache; ours is one tree
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
    }
)

_TOOLS = (
    "tool calling is not supported yet; describe the tools in the prompt and constrain the answer "
    "with response_format json_schema"
)
NOT_YET = {
    "tools": _TOOLS,
    "tool_choice": _TOOLS,
    "parallel_tool_calls": _TOOLS,
    "functions": _TOOLS,
    "function_call": _TOOLS,
    "audio": "audio is not supported",
    "web_search_options": "web search is not supported",
    "reasoning_effort": "the models here have no separate reasoning; leave it out",
    "suffix": "insertion (a suffix) is not supported",
}
"""Fields of OpenAI's that change the output and are not built: refused with the reason."""


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _checked(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half of a surrogate pair, which is no text") from None
    return text


PlainText: TypeAlias = Annotated[str, AfterValidator(_checked)]
Stops: TypeAlias = Annotated[
    list[Annotated[PlainText, Field(min_length=1)]], BeforeValidator(_listed), Field(max_length=4)
]
Prompts: TypeAlias = Annotated[
    list[PlainText], BeforeValidator(_listed), Field(min_length=1, max_length=1024)
]
Count: TypeAlias = Annotated[int, Field(ge=1)]
Priority: TypeAlias = Annotated[int, Field(ge=-100, le=100)]
Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**64)]


class Strict(BaseModel):
    """Knows all its fields and converts nothing."""

    model_config = ConfigDict(extra="forbid", strict=True)


class StreamOptions(Strict):
    include_usage: bool = False
    include_obfuscation: bool = False


class StructuredOutputs(Strict):
    """vLLM's constraint object: exactly one of its fields."""

    json_: dict[str, Any] | bool | str | None = Field(None, alias="json")
    regex: PlainText | None = None
    choice: list[PlainText] | None = None
    grammar: PlainText | None = None


class JsonSchemaFormat(Strict):
    name: str
    description: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class TextFormat(Strict):
    type: Literal["text"]


class JsonObjectFormat(Strict):
    type: Literal["json_object"]


class JsonSchemaResponse(Strict):
    type: Literal["json_schema"]
    json_schema: JsonSchemaFormat


ResponseFormat: TypeAlias = Annotated[
    TextFormat | JsonObjectFormat | JsonSchemaResponse, Field(discriminator="type")
]


class GenerationFields(Strict):
    """The fields that both routes share."""

    model: str | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    stop: Stops | None = None
    stop_regex: PlainText | None = None
    stop_token_ids: list[int] | None = None
    seed: Seed | None = None
    temperature: Annotated[float, Field(ge=0)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0)] | None = None
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None
    max_tokens: Count | None = None
    min_tokens: Annotated[int, Field(ge=0)] | None = None
    ignore_eos: bool | None = None
    cache_salt: PlainText | None = None
    priority: Priority | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    regex: PlainText | None = None
    grammar: PlainText | None = None
    ebnf: PlainText | None = None
    json_schema: dict[str, Any] | str | None = None

    @model_validator(mode="before")
    @classmethod
    def _drop_what_changes_nothing(cls, body: object) -> object:
        if not isinstance(body, dict):
            return body
        return {k: v for k, v in body.items() if k not in HARMLESS and v is not None}


class TextPart(Strict):
    type: Literal["text"]
    text: PlainText


def _picture(url: object) -> Picture:
    if not isinstance(url, str):
        raise ValueError(f"expected a text, got {url!r:.80}")
    return picture_of_url(url)


class ImageUrl(Strict):
    url: Annotated[InstanceOf[Picture], BeforeValidator(_picture)]
    detail: Literal["auto"] | None = None


class ImagePart(Strict):
    type: Literal["image_url"]
    image_url: ImageUrl


ContentPart: TypeAlias = Annotated[TextPart | ImagePart, Field(discriminator="type")]


def _parts(content: object) -> object:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


class ChatMessage(Strict):
    """One message. `name` and `refusal` are what OpenAI's own answers carry when sent back."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[list[ContentPart], BeforeValidator(_parts)]
    name: str | None = None
    refusal: str | None = None
    tool_call_id: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, message: object) -> object:
        if not isinstance(message, dict):
            return message
        return {k: v for k, v in message.items() if v is not None}

    @property
    def spans(self) -> Prompt:
        """The parts, in order."""
        return tuple(
            Text(part.text) if isinstance(part, TextPart) else part.image_url.url
            for part in self.content
        )


class ChatRequest(GenerationFields):
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_completion_tokens: Count | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    modalities: list[Literal["text"]] | None = None


class CompletionRequest(GenerationFields):
    prompt: Prompts
    echo: bool | None = None
    best_of: int | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
