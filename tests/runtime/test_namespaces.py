"""Namespaces: what one tenant's requests left behind, no other tenant's can tell.

Not by tokens that are cached, not by logits that are kept, not by text that is respelled, not by
files; and what a program, or a client over HTTP, says reaches the request.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

import treegram as tg
from treegram.lang.base import GenRequest
from treegram.runtime.base import Vocabulary
from treegram.runtime.engine import Engine
from treegram.runtime.fake import FakeDecoder
from treegram.runtime.generation import Generation
from treegram.runtime.loading import load_module
from treegram.runtime.model import Model
from treegram.runtime.model_options import ModelOptions
from treegram.runtime.request import EngineRequest
from treegram.runtime.runtime import Runtime
from treegram.runtime.server.app import create_app

TINY = load_module(Path(__file__).with_name("tiny_models.py"))
N_VOCAB = 32
PIECES = (b"", *(bytes([96 + i]) for i in range(1, 27)), b"ab", b"bc", b"cd", b"abc", b"de")
VOCABULARY = Vocabulary(PIECES, frozenset({0}))
OPTIONS = ModelOptions(n_ctx=512, n_threads=1)

# --- the engine --------------------------------------------------------------------------------


class Trace:
    """What can be seen from outside of each request of one tenant."""

    def __init__(self, engine: Engine, decoder: FakeDecoder, namespace: str) -> None:
        self.engine, self.decoder, self.namespace = engine, decoder, namespace
        self.seen: list[tuple[object, ...]] = []

    def ask(self, prompt: list[int]) -> None:
        before, ended = self.decoder.evaluated_tokens, list[EngineRequest]()
        request = GenRequest((), max_tokens=4, ignore_eos=True)
        generation = Generation(request, VOCABULARY)
        self.engine.submit(
            EngineRequest(
                list(prompt),
                len(prompt) - 1,
                lambda request, error: ended.append(request),
                generation,
                namespace=self.namespace,
            )
        )
        while not ended:
            self.engine.step()
        (done,) = ended
        evaluated = self.decoder.evaluated_tokens - before
        self.seen.append((done.cached_tokens, done.prompt_tokens, evaluated, generation.tokens))


@pytest.mark.parametrize("seed", range(4))
def test_a_tenant_cannot_tell_what_others_have_asked(seed: int) -> None:
    """Two tenants with the same prompts, one after the other, see what each would see alone."""

    def engine() -> tuple[Engine, FakeDecoder]:
        decoder = FakeDecoder(n_cells=2048)
        return Engine(decoder, pieces=PIECES, idle_cells=10_000), decoder

    rng = random.Random(seed)
    prompts = [[1, 2, 3, 4, 5, *rng.choices(range(1, N_VOCAB), k=6)] for _ in range(4)]
    # the same text in other tokens, and repeated prompts whose logits are kept
    prompts = [*prompts, *[[30, 4, 5, *p[5:]] for p in prompts], *prompts]
    together = engine()
    tenants = [Trace(*together, name) for name in ("a", "b", "")]
    for prompt in prompts:
        for tenant in tenants:
            tenant.ask(prompt)
    for tenant in tenants:
        alone = Trace(*engine(), tenant.namespace)
        for prompt in prompts:
            alone.ask(prompt)
        assert tenant.seen == alone.seen
    assert max(int(str(cached)) for cached, *_ in tenants[0].seen) > 5


# --- a model -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and an adapter of it."""
    folder = tmp_path_factory.mktemp("namespaces")
    TINY.write_adapter(folder / "sql.gguf", TINY.lora(1), alpha=8.0)
    return Path(TINY.write_plain_model(folder / "plain.gguf"))


@tg.function
def ask(s: tg.State, text: str) -> None:
    s += ["The same few shots for everybody. ", text]
    s += tg.gen("reply", regex="[a-z]{6}")


def cached(state: tg.State) -> int:
    return state.meta("reply").usage.cached_tokens


def test_a_tenants_files_are_its_own_and_say_nothing_of_its_salt(
    tiny: Path, tmp_path: Path
) -> None:
    def reopened(namespace: str) -> int:
        options = ModelOptions(n_threads=1, disk_bytes=1 << 24, disk_folder=tmp_path)
        model = Model("plain", tiny, options)
        found = cached(ask.run("x", model=model, namespace=namespace))
        model.close()
        return found

    assert [reopened(name) for name in ("salt-of-ann", "salt-of-bob", "")] == [0, 0, 0]
    assert min(reopened(name) for name in ("salt-of-ann", "salt-of-bob", "")) > 30
    assert not [f for f in tmp_path.rglob("*") if f.is_file() and b"salt" in f.read_bytes()]


def test_a_pinned_prefix_serves_its_namespace(tiny: Path) -> None:
    with Runtime({"plain": tiny}, options=OPTIONS, default="plain") as runtime:
        model = runtime.model()
        with ask.cache(model=model, namespace="ann") as pin:
            assert pin.tokens > 30
            assert cached(ask.run("x", model=model, namespace="bob")) <= 1
            assert cached(ask.run("x", model=model, namespace="ann")) >= pin.tokens - 1


def test_adapters_of_a_runtime_belong_to_their_model(tiny: Path) -> None:
    files = {"plain": {"sql": str(tiny.with_name("sql.gguf"))}}
    models = {"plain": tiny, "other": tiny}
    with Runtime(models, options=OPTIONS, adapters=files) as runtime:
        assert len(ask.run("x", model=runtime.model("plain"), adapter="sql")["reply"]) == 6
        with pytest.raises(tg.ParameterError, match="loaded with none"):
            ask.run("x", model=runtime.model("other"), adapter="sql")
    with pytest.raises(tg.ParameterError, match="no model 'plane' is named"):
        Runtime({"plain": tiny}, adapters={"plane": {}})


# --- over HTTP ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runtime(tiny: Path) -> Iterator[Runtime]:
    files = {"plain": {"sql": tiny.with_name("sql.gguf")}}
    with Runtime({"plain": tiny}, options=OPTIONS, adapters=files) as loaded:
        yield loaded


@pytest.fixture
def http(runtime: Runtime, live: Callable[[FastAPI], str]) -> Iterator[httpx.Client]:
    app = create_app({"ask": ask}, runtime, models=["plain"], adapters={"plain": ["sql"]})
    with httpx.Client(base_url=live(app)) as client:
        yield client


def complete(http: httpx.Client, **fields: object) -> dict[str, Any]:
    body = {"model": "plain", "prompt": "A prompt of HTTP: ", "max_tokens": 4, "temperature": 0}
    answer = http.post("/v1/completions", json={**body, **fields})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def cached_over_http(answer: dict[str, Any]) -> int:
    return int(answer["usage"]["prompt_tokens_details"]["cached_tokens"])


def test_a_cache_salt_is_a_namespace(http: httpx.Client) -> None:
    salts: list[dict[str, object]] = [{"cache_salt": "ann"}, {"cache_salt": "bob"}, {}]
    first = [complete(http, **salt) for salt in salts]
    again = [complete(http, **salt) for salt in salts]
    assert max(map(cached_over_http, first)) <= 1
    assert min(map(cached_over_http, again)) > 15
    assert len({answer["choices"][0]["text"] for answer in (*first, *again)}) == 1


def test_programs_take_the_salt_the_priority_and_the_adapter(http: httpx.Client) -> None:
    def run(**fields: object) -> dict[str, Any]:
        answer = http.post("/v1/programs/ask/run", json={"arguments": {"text": "q"}, **fields})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    asked: list[dict[str, object]] = [
        {"cache_salt": "ann", "priority": 5},
        {"cache_salt": "bob"},
        {"model": "plain:sql"},
        {"model": "plain:sql", "cache_salt": "ann"},
    ]
    assert max(cached_over_http(run(**fields)) for fields in asked) <= 1
    assert min(cached_over_http(run(**fields)) for fields in asked) > 30
    replies = [run(**fields)["variables"]["reply"] for fields in asked]
    assert replies[0] == replies[1] != replies[2] == replies[3]


def test_an_adapter_is_a_model_of_its_base(http: httpx.Client) -> None:
    cards = http.get("/v1/models").json()["data"]
    assert [(card["id"], card.get("parent")) for card in cards] == [
        ("plain", None),
        ("plain:sql", "plain"),
    ]
    assert http.get("/v1/models/plain:sql").json() == cards[1]
    tuned = complete(http, model="plain:sql", logprobs=0)
    base = complete(http, logprobs=0)
    assert tuned["model"] == "plain:sql"
    logprobs = [a["choices"][0]["logprobs"]["token_logprobs"] for a in (tuned, base)]
    assert abs(logprobs[0][0] - logprobs[1][0]) > 0.01
    unknown = http.post("/v1/completions", json={"model": "plain:cook", "prompt": "x"})
    assert unknown.status_code == 404
    assert "plain:sql" in unknown.json()["error"]["message"]


@pytest.mark.parametrize("route", ["/v1/completions", "/v1/programs/ask/run"])
@pytest.mark.parametrize(
    ("field", "value"),
    [("cache_salt", "\ud800"), ("cache_salt", 3), ("priority", 1000), ("priority", "high")],
)
def test_a_bad_salt_or_priority_is_named(
    http: httpx.Client, route: str, field: str, value: object
) -> None:
    body = {"prompt": "x"} if "completions" in route else {"arguments": {"text": "x"}}
    text = json.dumps({**body, field: value})
    answer = http.post(route, content=text, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == field
