"""Whole requests on the embedded model through real llama.cpp."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path

import numpy as np
import pytest

from treegram.lang.base import (
    GenRequest,
    GenResult,
    Message,
    SelectMethod,
    SelectRequest,
    SelectResult,
    Text,
)
from treegram.lang.errors import (
    CancelledError,
    ContextOverflowError,
    EngineError,
    ParameterError,
)
from treegram.lang.grammar import Grammar
from treegram.lang.json_schema.layout import Layout
from treegram.lang.sampling import SamplingParams
from treegram.runtime.base import Batch
from treegram.runtime.llama_context import LlamaContext
from treegram.runtime.model import Model
from treegram.runtime.model_options import ModelOptions

pytestmark = [pytest.mark.model, pytest.mark.slow]

WAIT_S = 120


def gen(model: Model, text: str, **options: object) -> GenResult:
    request = GenRequest((Text(text),), **options)  # type: ignore[arg-type]
    result = model.submit(request).result(WAIT_S)
    assert isinstance(result, GenResult)
    return result


def test_greedy_equals_a_plain_loop_over_llama_cpp(embedded_model: Model) -> None:
    """No cache, no engine: decode, argmax, append."""
    prompt = "The capital of France is"
    result = gen(embedded_model, prompt, max_tokens=12, heal=False, ignore_eos=True)
    context = LlamaContext(embedded_model.tokenizer, n_ctx=256, n_seqs=2)
    tokens = embedded_model.tokenizer.encode(prompt, start=True)
    done = 0
    expected: list[int] = []
    while len(expected) < 12:
        new = tokens[done:]
        wants = np.arange(len(new)) == len(new) - 1
        positions = np.arange(done, len(tokens), dtype=np.int32)
        seqs = np.zeros(len(new), np.int32)
        context.decode(Batch(np.array(new, np.int32), positions, seqs, wants))
        done = len(tokens)
        logits = context.logits(len(new) - 1).copy()
        logits[list(embedded_model.tokenizer.vocabulary.eog)] = -np.inf
        tokens.append(int(logits.argmax()))
        expected.append(tokens[-1])
    context.close()
    pieces = embedded_model.tokenizer.vocabulary.pieces
    assert result.text == b"".join(pieces[t] for t in expected).decode()


def test_stop_strings_end_the_text_before_them(embedded_model: Model) -> None:
    result = gen(embedded_model, "One, two, three,", max_tokens=40, stop=(", seven", "eight"))
    assert result.finish_reason == "stop"
    assert result.stop_matched == ", seven"
    assert result.text.endswith("six")
    assert "".join(s.text for s in result.spans) == result.text


def test_max_tokens_and_min_tokens(embedded_model: Model) -> None:
    assert gen(embedded_model, "Count: 1 2 3", max_tokens=5).usage.completion_tokens == 5
    assert gen(embedded_model, "Count: 1 2 3", max_tokens=5).finish_reason == "length"
    chat = embedded_model.render_chat([Message("user", (Text("Say hi."),))], True)
    long = embedded_model.submit(GenRequest(chat, min_tokens=40, max_tokens=60)).result(WAIT_S)
    assert isinstance(long, GenResult)
    assert long.usage.completion_tokens >= 40


def test_a_seed_makes_sampling_repeatable(embedded_path: Path) -> None:
    """As far as logits are: they depend a little on the order of cells, and on who is beside."""
    options = ModelOptions(n_ctx=512, prepared_bytes=0, speculate=False)
    model = Model("alone", embedded_path, options)
    params = SamplingParams(temperature=1.0, top_p=0.95, seed=11)
    prompt = "My favourite animal"
    texts = {gen(model, prompt, params=params, max_tokens=12).text for _ in range(3)}
    assert len(texts) == 1
    other = SamplingParams(temperature=1.0, top_p=0.95, seed=12)
    assert gen(model, prompt, params=other, max_tokens=12).text not in texts
    model.close()


def test_logprobs_of_free_text(embedded_model: Model) -> None:
    params = SamplingParams(logprobs=3)
    result = gen(embedded_model, "The capital of France is", params=params, max_tokens=3)
    assert result.logprobs is not None
    assert len(result.logprobs) == 3
    for entry in result.logprobs:
        assert entry.logprob <= 0
        assert entry.top[0][0] == entry.token
        assert [p for _, _, p in entry.top] == sorted((p for _, _, p in entry.top), reverse=True)


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
GRAMMARS = {
    "schema": Grammar.from_schema(SCHEMA, Layout()),
    "regex": Grammar.from_regex(r"[A-Z][a-z]{2,8} (is|was) [0-9]{1,3}"),
    "choices": Grammar.from_choices(["red", "green", "blue", "bluish"]),
    "unicode": Grammar.from_regex("[αβγ日本🙂]{3,6}!"),
}


@pytest.mark.parametrize("engine", ["treegram", "llama.cpp"])
@pytest.mark.parametrize("name", GRAMMARS)
@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_outputs_satisfy_their_constraint(
    embedded_model: Model, engine: str, name: str, temperature: float
) -> None:
    grammar = GRAMMARS[name]
    for seed in range(4):
        result = gen(
            embedded_model,
            "Anna is 31 years old:",
            grammar=grammar,
            engine=engine,
            params=SamplingParams(temperature=temperature, seed=seed),
            max_tokens=120,
        )
        assert result.finish_reason in ("stop", "constraint")
        assert grammar.accepts(result.text)


@pytest.mark.parametrize("max_tokens", [1, 3, 7])
def test_a_cut_output_is_a_beginning_of_a_valid_one(embedded_model: Model, max_tokens: int) -> None:
    grammar = GRAMMARS["schema"]
    result = gen(embedded_model, "Anna is 31:", grammar=grammar, max_tokens=max_tokens)
    assert result.finish_reason == "length"
    assert grammar.accepts_prefix(result.text)
    assert result.usage.completion_tokens == max_tokens


def test_forced_text_is_not_decoded_step_by_step(embedded_model: Model) -> None:
    """A wholly forced output costs no forward pass at all."""
    before = embedded_model.stats().steps
    grammar = Grammar.from_regex("exactly this text")
    result = gen(embedded_model, "Anything", grammar=grammar, heal=False)
    assert (result.text, result.finish_reason) == ("exactly this text", "constraint")
    assert embedded_model.stats().steps == before


def test_healing_lets_a_token_cross_the_prompt_boundary(embedded_model: Model) -> None:
    healed = gen(embedded_model, 'The link is <a href="http:', max_tokens=6)
    assert healed.text.startswith("//")
    grammar = Grammar.from_regex("//[a-z]+[.]com")
    constrained = gen(embedded_model, "The link is http:", grammar=grammar, max_tokens=20)
    assert re.fullmatch("//[a-z]+[.]com", constrained.text)


def brute_force(model: Model, prompt: str, choice: str) -> float:
    """Log-probability of a choice: one forward pass over prompt and choice, no cache."""
    tokenizer = model.tokenizer
    head, tail = tokenizer.encode(prompt, start=True), tokenizer.encode(choice)
    tokens = head + tail
    context = LlamaContext(tokenizer, n_ctx=256, n_seqs=2)
    n = len(tokens)
    positions, seqs = np.arange(n, dtype=np.int32), np.zeros(n, np.int32)
    context.decode(Batch(np.array(tokens, np.int32), positions, seqs, np.ones(n, np.bool_)))
    total = 0.0
    for i, token in enumerate(tail):
        logits = context.logits(len(head) + i - 1).astype(np.float64)
        total += float(logits[token] - logits.max() - np.log(np.exp(logits - logits.max()).sum()))
    context.close()
    return total


def test_select_scores_equal_a_pass_over_the_whole_text(embedded_model: Model) -> None:
    choices = ("yes", "no", "yesterday", "not at all")
    request = SelectRequest((Text("Is the sky blue? Answer: ", template=True),), choices)
    result = embedded_model.submit(request).result(WAIT_S)
    assert isinstance(result, SelectResult)
    for score in result.scores:
        expected = brute_force(embedded_model, "Is the sky blue? Answer: ", score.choice)
        # quantised weights: batch shape alone moves logits by up to 0.5
        assert sum(score.logprobs) == pytest.approx(expected, abs=1.0)
        assert score.score == pytest.approx(sum(score.logprobs) / len(score.logprobs))
    assert result.index == int(np.argmax([s.score for s in result.scores]))


@pytest.mark.parametrize("method", ["length_normalized", "greedy", "unconditional"])
def test_select_finds_the_capital(embedded_model: Model, method: SelectMethod) -> None:
    choices = (" London", " Paris", " New York City", " Rome")
    request = SelectRequest((Text("The capital of France is"),), choices, method)
    result = embedded_model.submit(request).result(WAIT_S)
    assert isinstance(result, SelectResult)
    assert (result.text, result.index) == (" Paris", 1)


def test_one_token_choices_evaluate_only_the_prompt(embedded_model: Model) -> None:
    before = embedded_model.stats().evaluated_tokens
    prompt = (Text("2 + 2 = 4. True or false? The answer is option", template=True),)
    embedded_model.submit(SelectRequest(prompt, (" A", " B", " C"))).result(WAIT_S)
    spent = embedded_model.stats().evaluated_tokens - before
    assert spent <= len(embedded_model.tokenizer.encode(prompt[0].text, start=True))


def test_a_few_shot_batch_evaluates_the_trie_and_nothing_more(embedded_model: Model) -> None:
    """32 rows started all at once: at most 1.02 of the fewest tokens possible."""
    pairs = [("hot", "cold"), ("up", "down"), ("big", "small")] * 6
    shots = "".join(f"Word: {w}\nOpposite: {o}\n\n" for w, o in pairs)
    words = """
        old new early late fast slow rich poor hard soft high low light dark open closed wet dry
        near far loud quiet left right true false clean dirty strong weak full empty
    """.split()
    before = embedded_model.stats()
    prompts = [(Text(f"{shots}Word: {w}\nOpposite:"),) for w in words]
    requests = [GenRequest(p, max_tokens=8, stop=("\n",)) for p in prompts]
    handles = [embedded_model.submit(r) for r in requests]
    for handle in handles:
        handle.result(WAIT_S)
    after = embedded_model.stats()
    assert len(words) == 32
    assert after.minimum_tokens is not None
    assert before.minimum_tokens is not None
    spent = after.evaluated_tokens - before.evaluated_tokens
    assert spent <= 1.02 * (after.minimum_tokens - before.minimum_tokens)


def test_a_second_request_evaluates_only_what_is_new(embedded_model: Model) -> None:
    story = "A long story about a fox who wanted to learn how to swim. " * 8
    gen(embedded_model, story, max_tokens=4)
    second = gen(embedded_model, story, max_tokens=4)
    assert second.usage.cached_tokens >= second.usage.prompt_tokens - 2


def test_a_prompt_longer_than_the_context(embedded_model: Model) -> None:
    with pytest.raises(ContextOverflowError) as caught:
        gen(embedded_model, "word " * (embedded_model.n_ctx + 10))
    assert caught.value.context_tokens == embedded_model.n_ctx


def test_unknown_token_ids_are_refused(embedded_model: Model) -> None:
    with pytest.raises(ParameterError, match="not in the vocabulary"):
        gen(embedded_model, "x", params=SamplingParams(logit_bias={10**6: 1.0}))


def test_cancelling_ends_the_request_and_frees_its_place(embedded_model: Model) -> None:
    started = threading.Event()
    request = GenRequest((Text("Once upon a time"),), max_tokens=4000, ignore_eos=True)
    handle = embedded_model.submit(request, on_text=lambda _: started.set())
    assert started.wait(WAIT_S)
    handle.cancel()
    with pytest.raises(CancelledError):
        handle.result(WAIT_S)
    assert gen(embedded_model, "Still there?", max_tokens=2).usage.completion_tokens == 2
    assert embedded_model.stats().cache.locked_tokens == 0


def test_task_accuracy_is_the_same_with_the_cache_on_and_off(embedded_model: Model) -> None:
    """Each row in a namespace of its own shares nothing with any other."""
    shots = "".join(
        f"Text: {n} is {a} years old.\nJSON: {json.dumps({'name': n, 'age': a})}\n\n"
        for n, a in [("Tom", 5), ("Maria", 44), ("Ravi", 71)]
    )
    rows = [("Anna", 31), ("Ben", 19), ("Chloe", 62), ("Dan", 8), ("Eve", 27), ("Finn", 90)]
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    right = {}
    for cache in ("on", "off"):
        requests = [
            GenRequest(
                (Text(f"{shots}Text: {name} is {age} years old.\nJSON: ", template=True),),
                grammar=Grammar.from_schema(schema, Layout()),
                namespace="" if cache == "on" else f"row {name}",
                max_tokens=40,
            )
            for name, age in rows
        ]
        results = [h.result(WAIT_S) for h in [embedded_model.submit(r) for r in requests]]
        right[cache] = sum(
            json.loads(r.text) == {"name": n, "age": a}
            for r, (n, a) in zip(results, rows, strict=True)
        )
    assert right["on"] == right["off"] == len(rows)


@pytest.mark.parametrize("n_ctx", [64, 256])
def test_a_context_far_too_small_for_the_load(embedded_path: Path, n_ctx: int) -> None:
    """Every request that would fit alone finishes, valid, through parking and preemption.

    A context below 256 cells also has fewer batch slots than llama.cpp's default sequences, which
    it would answer by aborting the process.
    """
    grammar = Grammar.from_regex(r"[A-Za-z ,]{60,120}[.]")
    model = Model("small", embedded_path, ModelOptions(n_ctx=n_ctx, idle_cells=0))
    prompts = [
        f"{i}. A word about {what}: " * 4 for i in range(4) for what in ("sea", "sky", "soil")
    ]
    requests = [GenRequest((Text(p),), grammar=grammar, max_tokens=130) for p in prompts]
    for handle in [model.submit(r) for r in requests]:
        result = handle.result(WAIT_S)
        assert isinstance(result, GenResult)
        assert grammar.accepts(result.text)
    stats = model.stats()
    assert stats.preempted > 0
    assert stats.cache.parked_tokens_total > 0
    model.close()


def test_a_closed_model_says_so(embedded_path: Path) -> None:
    """Tokenising with freed weights would abort the process."""
    model = Model("closed", embedded_path, ModelOptions(n_ctx=256))
    model.close()
    model.close()
    for use in (lambda: gen(model, "x"), lambda: model.count_tokens("x")):
        with pytest.raises(EngineError, match="closed"):
            use()
    with pytest.raises(EngineError, match="closed"):
        model.tokenizer.encode("x")


def test_closing_from_a_callback_while_others_run(embedded_path: Path) -> None:
    """The engine's thread closes the model under its own step; the rest fail, nothing crashes."""
    model = Model("closing", embedded_path, ModelOptions(n_ctx=512))
    long = model.submit(GenRequest((Text("Once"),), max_tokens=400, ignore_eos=True))
    short = model.submit(GenRequest((Text("Once upon"),), max_tokens=3))
    short.add_done_callback(lambda _: model.close())
    with pytest.raises(EngineError, match="closed"):
        long.result(WAIT_S)


def test_an_error_in_a_select_callback_is_that_select_s(embedded_model: Model) -> None:
    request = SelectRequest((Text("The sky is"),), (" blue", " red"))
    handle = embedded_model.submit(request, on_text=lambda text: [][len(text)])
    with pytest.raises(IndexError):
        handle.result(WAIT_S)


def test_choices_are_checked_at_once(embedded_model: Model) -> None:
    for choices in ((), ("a", ""), ("a", "a")):
        with pytest.raises(ParameterError, match="choices"):
            embedded_model.submit(SelectRequest((Text("x"),), choices))


def test_a_long_forced_text_does_not_hold_up_others(embedded_model: Model) -> None:
    """A million forced characters are spelled a part at a time."""
    result = gen(embedded_model, "x", grammar=Grammar.from_regex("a{1000000}"), max_tokens=3)
    assert set(result.text) == {"a"}
    assert result.finish_reason == "length"
