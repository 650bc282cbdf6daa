"""From settings to engines: what fills each port. Heavy packages are imported when an engine is opened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from pydantic import SecretStr

from teller.bank_files import Bank, bank_folder, nano_folder
from teller.config import Settings
from teller.ports import AdapterHost, Detector, Embedder, Generator, Synthesizer, Transcriber
from teller.stores.home import Home


def open_embedder(settings: Settings, home: Home) -> Embedder:
    """The configured embedder.

    Raises:
        EngineUnavailable: if its package or weights are missing.
    """
    if settings.engines.embedder == "minilm":
        from teller.engines.minilm import MiniLm

        return MiniLm(home.path)
    from teller.engines.sentence_encoder import SentenceEncoder

    return SentenceEncoder(settings.engines.embedder_model, allow_downloads=settings.engines.allow_downloads)


def open_reader(settings: Settings, home: Home, embedder: Embedder) -> Embedder:
    """What knowledge is searched with: the embedder, with the bank's own LoRA matrices where they were made for it.

    Raises:
        EngineUnavailable: if the matrices cannot be used.
    """
    if settings.engines.embedder != "minilm":
        return embedder
    from teller.engines.minilm import MiniLm

    return MiniLm(home.path, lora=bank_folder() / "encoder.safetensors")


def open_transcriber(settings: Settings, home: Home, bank: Bank) -> Transcriber | None:
    """The configured transcriber, None if it is "none".

    Raises:
        EngineUnavailable: if its package or weights are missing.
    """
    engines = settings.engines
    match engines.transcriber:
        case "none":
            return None
        case "sphinx":
            from teller.engines.sphinx import Sphinx

            sentences = [ask for entry in bank.approved if entry.spoken_whole for ask in entry.asks]
            return Sphinx(sentences, home.models)
        case "faster-whisper":
            from teller.engines.whisper_ct2 import FasterWhisper

            return FasterWhisper(engines.transcriber_model, allow_downloads=engines.allow_downloads)
        case "transformers":
            from teller.engines.whisper_hf import TransformersWhisper

            return TransformersWhisper(engines.transcriber_model, allow_downloads=engines.allow_downloads)


def open_synthesizer(settings: Settings, stack: AsyncExitStack) -> Synthesizer | None:
    """The configured synthesizer, closed with the stack; None if it is "none".

    Raises:
        EngineUnavailable: if its package or weights are missing.
    """
    engines = settings.engines
    if engines.synthesizer == "none":
        return None
    if engines.synthesizer == "kokoro":
        from teller.engines.kokoro import Kokoro

        return Kokoro(voice=engines.voice, allow_downloads=engines.allow_downloads)
    from teller.engines.espeak import Espeak

    espeak = Espeak(voice=engines.voice, words_per_minute=engines.words_per_minute)
    stack.push_async_callback(espeak.aclose)
    return espeak


def remembering(voice: Synthesizer | None, home: Home) -> Synthesizer | None:
    """The synthesizer behind its audio cache."""
    from teller.engines.spoken_cache import SpokenCache

    return SpokenCache(voice, home.audio) if voice is not None else None


def open_generator(settings: Settings) -> Generator:
    """The configured generator.

    Raises:
        EngineUnavailable: if its package or key is missing.
    """
    engines = settings.engines
    match engines.generator:
        case "approved":
            from teller.engines.approved import ApprovedText

            return ApprovedText()
        case "local":
            from teller.engines.peft_host import LocalModel

            named = engines.local_model
            return LocalModel(nano_folder() if named == "teller-nano" else Path(named).expanduser())
        case "mistral":
            from teller.engines.mistral_api import MistralApi

            return MistralApi(model=engines.generator_model, api_key=_secret(settings.mistral_api_key))
        case "openai":
            from teller.engines.openai_chat import OpenAiChat

            key = _secret(settings.openai_api_key)
            return OpenAiChat(model=engines.generator_model, base_url=engines.generator_url, api_key=key)


def open_adapter_host(settings: Settings, generator: Generator) -> AdapterHost | None:
    """What loads adapters for this generator; None if nothing does.

    Raises:
        EngineUnavailable: if a package is missing.
    """
    engines = settings.engines
    if engines.generator == "local":
        from teller.engines.peft_host import LocalModel

        return generator if isinstance(generator, LocalModel) else None
    if engines.adapter_host == "none":
        return None
    from teller.engines.vllm_host import VllmHost, Waits

    return VllmHost(
        model=engines.generator_model,
        base_url=engines.generator_url,
        api_key=_secret(settings.openai_api_key),
        base_folder=engines.adapter_base,
        waits=Waits(load_s=settings.adapters.load_timeout_s, unload_s=settings.adapters.unload_timeout_s),
    )


@asynccontextmanager
async def open_serving(settings: Settings) -> AsyncIterator[tuple[Generator, AdapterHost | None]]:
    """Generator and adapter host by themselves, closed again.

    Raises:
        EngineUnavailable: if one of them cannot run, saying what to do.
    """
    generator = await asyncio.to_thread(open_generator, settings)
    try:
        host = await asyncio.to_thread(open_adapter_host, settings, generator)
        try:
            yield generator, host
        finally:
            if settings.engines.generator != "local":  # there the two are one
                await close_engine(host)
    finally:
        await close_engine(generator)


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value is not None else None


async def close_engine(engine: object) -> None:
    """Close an engine that has anything to close."""
    if (close := getattr(engine, "aclose", None)) is not None:
        await close()


def open_detector() -> Callable[[], Detector]:
    """What opens a voice detector for each stream.

    Raises:
        EngineUnavailable: if its weights are missing.
    """
    from teller.engines.silero import SileroVad

    return SileroVad().open_stream
