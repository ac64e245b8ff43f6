"""A loaded model as a `Backend`: prompts to tokens, constraints to matchers, on to the engine."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..lang.base import (
    Generated,
    GenRequest,
    Handle,
    Message,
    Prompt,
    Request,
    SelectRequest,
    SelectResult,
    Usage,
)
from ..lang.choices import checked_choices
from ..lang.compiler.cache_folder import cache_folder
from ..lang.compiler.shared_cache import SharedCache
from ..lang.errors import ModelError, ParameterError
from ..radix_cache.disk import DiskFolder
from .adapters import Adapters
from .base import Matcher, MatcherFactory
from .draft_loading import LoadedDraft, load_draft
from .engine import Engine
from .generation import Generation
from .gguf_check import check_gguf
from .handle import RequestHandle
from .kv_binding import fingerprint
from .llama import LlamaModel, offloads
from .llama_context import LlamaContext, sequences_for
from .llama_grammar import LlamaGrammarFactory
from .masks.terminal_walks import TerminalWalks
from .masks.token_trie import TokenTrie as VocabularyTrie
from .masks.walk_files import user_files
from .matcher import GrammarMatcherFactory
from .model_options import ModelOptions
from .prepared_weights import prepared_weights
from .prompt import TokenPrompt, tokenize
from .request import EngineRequest
from .select import Scoring, TokenTrie, decision, rank, respelled_tokens
from .spelling import Speller
from .stats import EngineStats
from .template import ChatTemplate, chat_prompt
from .users import Users

if TYPE_CHECKING:
    from .model_images import ModelImages

LOG = logging.getLogger(__name__)
CONSTRAINTS_KEPT = 64
"""Compiled constraints kept, least recently used out first; up to about 30 MB each."""


class Model:
    """One GGUF, its engine and its cache. Thread-safe.

    Attributes:
        n_ctx: KV cells: those of `ModelOptions`, rounded up by llama.cpp.
        template: the GGUF's own chat template, or None.

    Raises:
        ModelError: the file is missing, damaged, or of an architecture that is not supported; an
            adapter, a projector or a draft model does not fit it.
        ParameterError: an option is out of its range for it.
    """

    def __init__(self, name: str, path: Path, options: ModelOptions | None = None) -> None:
        options = options or ModelOptions()
        check_gguf(path)
        if options.draft is not None:
            check_gguf(options.draft)
        self.name = name
        weights = _weights(path, options)
        self._adapters = Adapters(weights, options.adapters)
        self._llama = LlamaModel(
            weights, n_gpu_layers=options.n_gpu_layers, adapters=options.adapters
        )
        reason = self._llama.unsupported
        if reason is not None:
            self._llama.close()
            raise ModelError(f"{path}: not supported: {reason}")
        self._images = _images(self._llama, options)
        self._context = LlamaContext(
            self._llama,
            n_ctx=options.n_ctx,
            n_seqs=sequences_for(self._llama, options.state_bytes),
            n_threads=options.cpu_threads,
            exact=options.exact,
        )
        self.n_ctx = self._context.n_cells
        self._draft = self._load_draft(options)
        vocabulary = self._llama.vocabulary
        self._trie = VocabularyTrie(vocabulary, user_files())
        self._speller = Speller(self._llama, self._trie)
        self._healing = GrammarMatcherFactory(None, vocabulary, self._speller, self._trie)
        self._constraints = SharedCache[tuple[str, str], MatcherFactory](CONSTRAINTS_KEPT)
        source = self._llama.chat_template
        self.template = (
            ChatTemplate(
                source,
                self._llama.control_text(self._llama.bos),
                self._llama.control_text(self._llama.eos),
            )
            if source
            else None
        )
        self._bos = self._llama.bos if self._llama.adds_bos else None
        self._engine = Engine(
            self._context,
            max_running=options.max_running,
            chunk_tokens=options.chunk_tokens,
            max_itl_s=None if options.max_itl_ms is None else options.max_itl_ms / 1e3,
            idle_cells=options.idle_cells,
            host_bytes=options.host_bytes,
            eviction=options.eviction,
            disk=self._disk(options),
            logits_bytes=options.logits_bytes,
            pieces=vocabulary.pieces,
            speculate=options.speculate,
            draft=None if self._draft is None else self._draft.model,
            measure_minimum=options.measure_minimum,
            on_idle=self._trie.walks.save_next,
            on_stop=partial(
                _stop, self._trie.walks, self._context, self._images, self._draft, self._llama
            ),
        )
        self._engine.start()
        self._users = Users()
        # also at interpreter exit: the engine must stop before its context is freed
        self._stop = weakref.finalize(self, self._engine.close)

    @property
    def tokenizer(self) -> LlamaModel:
        """Token ids of a text, pieces and control tokens."""
        return self._llama

    @property
    def weights(self) -> Path:
        """The file that is really loaded: the one given, or its copy for this machine."""
        return self._llama.path

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` as user text."""
        with self._users.inside():
            return len(self._llama.encode(text, start=True))

    def stats(self) -> EngineStats:
        """What the engine and its cache did so far."""
        return self._engine.stats()

    def close(self) -> None:
        """Stops the engine and frees the model; running requests fail. Idempotent."""
        self._users.close()
        self._stop()

    def _load_draft(self, options: ModelOptions) -> LoadedDraft | None:
        if options.draft is None:
            return None
        if not self._context.can_cut:
            LOG.warning("nothing is drafted: %s keeps a state, not cells", self.name)
            return None
        return load_draft(_weights(options.draft, options), self._llama, options)

    def _disk(self, options: ModelOptions) -> tuple[DiskFolder, int] | None:
        if not options.disk_bytes:
            return None
        folder = options.disk_folder or cache_folder() / "kv"
        binding = f"{fingerprint(self._llama.path)}, {self._context.kv_format}"
        try:
            is_through = options.disk_write == "through"
            return DiskFolder(folder, binding, writes_through=is_through), options.disk_bytes
        except OSError as error:
            LOG.warning("no prefixes are kept on disk: %s", error)
            return None

    # --- Backend ---------------------------------------------------------------------------

    def render_chat(self, messages: Sequence[Message], add_generation_prompt: bool) -> Prompt:
        """See `Backend.render_chat`. Raises ModelError if the GGUF has no chat template."""
        return chat_prompt(self.name, self.template, messages, add_generation_prompt)

    def submit(self, request: Request, on_text: Callable[[str], None] | None = None) -> Handle:
        """See `Backend.submit`.

        Raises:
            ContextOverflowError: the prompt does not fit the context even alone, and its oldest
                tokens may not go.
            ConstraintError: the grammar cannot be executed.
            ParameterError: choices that are empty or repeated, token ids out of the vocabulary, an
                adapter that the model does not have.
            EngineError: the model is closed.
        """
        with self._users.inside():
            if isinstance(request, SelectRequest):
                return self._submit_select(request, on_text)
            return self._submit_gen(request, on_text)

    def _submit_gen(self, request: GenRequest, on_text: Callable[[str], None] | None) -> Handle:
        namespace = self._adapters.namespace(request.adapter, request.namespace)
        for token in (*request.params.logit_bias, *request.stop_token_ids):
            if not 0 <= token < self._llama.n_vocab:
                raise ParameterError(
                    "logit_bias" if token in request.params.logit_bias else "stop_token_ids",
                    f"token id {token} is not in the vocabulary (0 to {self._llama.n_vocab - 1})",
                )
        prompt = self._tokenize(request.prompt, heal=request.heal)
        if prompt.images is not None and request.overflow == "shift":
            raise ParameterError("overflow", "'shift' would drop parts of images; use 'error'")
        matcher = self._matcher(request, prompt.prefix)
        generation = Generation(
            request, self._llama.vocabulary, matcher, prompt.tokens, prompt.prefix, on_text
        )

        def done(ended: EngineRequest, error: BaseException | None) -> None:
            if error is not None:
                handle.fail(error)
            else:
                counts = ended.prompt_tokens, ended.cached_tokens, ended.dropped_tokens
                handle.finish(lambda: generation.result(*counts))

        engine_request = EngineRequest(
            tokens=prompt.tokens,
            limit=len(prompt.tokens) - 1,
            on_done=done,
            generation=generation,
            namespace=namespace,
            adapter=request.adapter,
            priority=request.priority,
            sinks=request.sinks if request.overflow == "shift" else None,
            images=prompt.images,
        )
        handle = RequestHandle(lambda: self._engine.cancel(engine_request))
        self._engine.submit(engine_request)
        return handle

    def _submit_select(
        self, request: SelectRequest, on_text: Callable[[str], None] | None
    ) -> Handle:
        checked_choices(request.choices)
        namespace = self._adapters.namespace(request.adapter, request.namespace)
        prompt = self._tokenize(request.prompt, heal=True)
        encoded = [self._llama.encode(prompt.prefix + c) for c in request.choices]
        ends = sorted(self._llama.vocabulary.eog)
        trie = TokenTrie(encoded, ends)
        jobs = [(prompt, trie)]
        if request.method == "unconditional":
            # the likelihood without the prompt: behind the token that starts every text
            start = self._llama.bos if self._llama.bos >= 0 else ends[0]
            jobs.append((TokenPrompt([start]), TokenTrie(encoded, ends)))

        def selected() -> SelectResult:
            tries = [trie for _, trie in jobs]
            index, scores = rank(
                request, tries, skip=respelled_tokens(encoded, prompt, self._llama)
            )
            choice = request.choices[index]
            usage = Usage(
                len(prompt.tokens), scoring.requests[0].cached_tokens, len(encoded[index])
            )
            span = Generated(choice, tuple(encoded[index]), prompt.prefix)
            if on_text is not None:
                on_text(choice)
            decisions = (decision(request, trie, index),)
            return SelectResult(choice, (span,), index, scores, usage, decisions)

        def done(error: BaseException | None) -> None:
            if error is not None:
                handle.fail(error)
            else:
                handle.finish(selected)

        scoring = Scoring(
            self._engine, jobs, done, namespace, request.adapter, priority=request.priority
        )
        handle = RequestHandle(scoring.cancel)
        scoring.submit()
        return handle

    def pin(self, name: str, prompt: Prompt, *, adapter: str = "", namespace: str = "") -> int:
        """See `lang.pinned.Pinning`. Waits until the prompt is evaluated."""
        namespace = self._adapters.namespace(adapter, namespace)
        with self._users.inside():
            found = self._tokenize(prompt, heal=True)
            tokens = found.tokens

            def done(ended: EngineRequest, error: BaseException | None) -> None:
                if error is not None:
                    over.set_exception(error)
                else:
                    over.set_result(len(ended.tokens))

            over: Future[int] = Future()
            request = EngineRequest(
                tokens,
                len(tokens),
                done,
                namespace=namespace,
                adapter=adapter,
                pin=name,
                images=found.images,
            )
            self._engine.submit(request)
        try:
            return over.result()
        except BaseException:  # the caller was interrupted: nobody would let go of it
            self._engine.cancel(request)
            raise

    def unpin(self, name: str) -> None:
        """See `lang.pinned.Pinning`."""
        self._engine.unpin(name)

    def _tokenize(self, prompt: Prompt, *, heal: bool) -> TokenPrompt:
        read = None if self._images is None else self._images.tokens
        found = tokenize(prompt, self._llama, bos=self._bos, heal=heal, read_image=read)
        if not found.tokens:  # an empty prompt: something must be evaluated to give logits
            start = self._llama.bos if self._llama.bos >= 0 else self._llama.eos
            if start < 0:
                raise ParameterError(
                    "prompt", "it is empty, and this model has no token to begin with"
                )
            found.tokens.append(start)
        return found

    def _matcher(self, request: GenRequest, prefix: str) -> Matcher | None:
        if request.grammar is None:
            if not prefix:
                return None
            return self._healing.start(prefix.encode(), request.canonical)
        key = (request.engine, request.grammar.key)
        factory = self._constraints.get(key, partial(self._factory, request))
        return factory.start(prefix.encode(), request.canonical)

    def _factory(self, request: GenRequest) -> MatcherFactory:
        assert request.grammar is not None
        if request.engine == "llama.cpp":
            return LlamaGrammarFactory(request.grammar, self._llama, self._speller)
        return GrammarMatcherFactory(
            request.grammar, self._llama.vocabulary, self._speller, self._trie
        )


def _images(llama: LlamaModel, options: ModelOptions) -> ModelImages | None:
    if options.projector is None:
        return None
    from .model_images import ModelImages  # loads another library

    return ModelImages(
        options.projector,
        llama,
        n_threads=options.cpu_threads,
        n_gpu_layers=options.n_gpu_layers,
        exact=options.exact,
    )


def _stop(
    walks: TerminalWalks,
    context: LlamaContext,
    images: ModelImages | None,
    draft: LoadedDraft | None,
    llama: LlamaModel,
) -> None:
    try:
        walks.save()
    finally:
        context.close()
        if images is not None:
            images.close()
        if draft is not None:
            draft.close()
        llama.close()


def _weights(path: Path, options: ModelOptions) -> Path:
    # what is measured is the CPU; and exactness is about the file as it is
    if not options.prepared_bytes or options.exact or offloads(options.n_gpu_layers):
        return path
    return prepared_weights(path, n_threads=options.cpu_threads, most_bytes=options.prepared_bytes)
