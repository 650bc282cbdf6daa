"""Settings: one frozen tree, from a TOML file, then `TELLER_*` variables, then command-line flags; the last one wins.

Only `wiring.py`, `server/` and `cli/` see it; everything below takes plain keyword arguments. Secrets come from the
environment alone and are never printed. `load` also tells where each value came from, for `teller config`.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from teller.errors import ConfigError

PREFIX = "TELLER_"
CONFIG_VARIABLE = "TELLER_CONFIG"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SECRETS = ("server_token", "mistral_api_key", "openai_api_key", "cache_key")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BankSettings(_Section):
    """On whose behalf Teller speaks."""

    tenant: str = Field(
        default="larkfield",
        pattern=r"^[a-z0-9][a-z0-9-]{0,62}$",
        description="bank or brand; part of every cache partition",
    )
    locale: str = Field(
        default="en-GB", pattern=r"^[a-z]{2}-[A-Z]{2}$", description="language and country of the answers"
    )


class KnowledgeSettings(_Section):
    """Where approved answers come from."""

    path: Path | None = Field(
        default=None,
        description="folder of Markdown, JSONL or TOML, or one such file; unset: the bank that ships with Teller",
    )
    min_score: float = Field(
        default=0.5, ge=0, le=1, description="least certainty at which a question counts as covered"
    )
    timeout_s: float = Field(
        default=5.0, gt=0, le=60, description="longest wait for the knowledge; then it is owned up to that it is away"
    )


class CacheSettings(_Section):
    """The semantic cache."""

    mode: Literal["off", "exact", "semantic"] = Field(default="semantic", description="which tiers answer")
    max_entries: int = Field(default=100_000, ge=1, le=10_000_000, description="entries kept before eviction")
    ttl_public_s: int = Field(default=30 * 86_400, ge=1, description="life of a public answer, in seconds")
    ttl_product_s: int = Field(
        default=86_400, ge=1, description="life of an answer that depends on rates or terms, in seconds"
    )
    max_false_hits: float = Field(default=0.01, gt=0, le=0.5, description="largest share of hits that may be wrong")
    shadow_share: float = Field(
        default=0.02, ge=0, le=1, description="share of hits that are checked again off the path"
    )
    timeout_s: float = Field(
        default=2.0, gt=0, le=60, description="longest wait for a lookup; then the answer is made without the cache"
    )


class EngineSettings(_Section):
    """Which engine fills each port, and where its weights are."""

    transcriber: Literal["sphinx", "faster-whisper", "transformers", "none"] = Field(
        default="sphinx", description="speech to text"
    )
    synthesizer: Literal["espeak", "kokoro", "none"] = Field(default="espeak", description="text to speech")
    embedder: Literal["minilm", "sentence-transformers"] = Field(default="minilm", description="text to vectors")
    generator: Literal["approved", "local", "mistral", "openai"] = Field(
        default="approved", description="what words the answer on a cache miss"
    )
    adapter_host: Literal["none", "vllm"] = Field(
        default="none",
        description="what loads LoRA adapters where engines.generator is openai; the local model loads its own",
    )
    adapter_base: Path | None = Field(
        default=None,
        description="folder of the weights that the vLLM server runs, if they are here too: adapters are bound to them",
    )
    local_model: str = Field(
        default="teller-nano", min_length=1, description="the local generator: teller-nano, or a folder of weights"
    )
    transcriber_model: str = Field(default="small", min_length=1, description="Whisper: model name or folder")
    embedder_model: str = Field(
        default="sentence-transformers/all-MiniLM-L6-v2",
        min_length=1,
        description="sentence-transformers: model name or folder",
    )
    generator_model: str = Field(
        default="mistral-small-latest",
        min_length=1,
        description="model asked for at the Mistral or OpenAI-compatible server",
    )
    generator_url: str = Field(
        default="http://127.0.0.1:8000/v1",
        pattern=r"^https?://",
        description="OpenAI-compatible server (vLLM, llama.cpp)",
    )
    voice: str = Field(default="en-gb", pattern=r"^[A-Za-z0-9_+-]{1,40}$", description="voice of the synthesizer")
    words_per_minute: int = Field(default=165, ge=80, le=400, description="speed of espeak-ng")
    generator_timeout_s: float = Field(
        default=8.0, gt=0, le=120, description="longest wait for the generator; then the approved text is spoken"
    )
    transcriber_timeout_s: float = Field(
        default=20.0, gt=0, le=120, description="longest wait for an utterance to be heard; then it is asked for again"
    )
    synthesizer_timeout_s: float = Field(
        default=10.0, gt=0, le=120, description="longest wait for the next piece of sound; the written answer stands"
    )
    allow_downloads: bool = Field(default=False, description="whether engines may fetch weights from a model hub")


class AdapterSettings(_Section):
    """LoRA adapters: how they become live, and for how long they are kept."""

    load_timeout_s: float = Field(
        default=60.0, gt=0, le=3_600, description="longest wait for a version to be loaded and proven"
    )
    unload_timeout_s: float = Field(
        default=10.0, gt=0, le=600, description="longest wait for a host to let a version go; nobody else waits for it"
    )
    drain_s: float = Field(
        default=1_800.0, ge=0, description="for how long calls in progress may keep a version that is no longer live"
    )
    gate_max_age_days: float = Field(
        default=30.0, gt=0, description="age up to which the gate's verdict lets a version be enabled"
    )
    gate_cases: Path | None = Field(
        default=None, description="folder of the gate's cases; unset: those that ship, about the bank that ships"
    )
    canary_share: float = Field(default=0.1, gt=0, le=0.5, description="share of new calls that get a canary")
    canary_drop: float = Field(
        default=0.1, ge=0.03, le=0.5, description="drop of a share of good answers that ends a canary soon"
    )
    canary_false_withdrawals: float = Field(
        default=0.01, gt=0, le=0.5, description="largest chance, in each server, to end a canary that is no worse"
    )


class ServerSettings(_Section):
    """The HTTP and WebSocket server."""

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="address to listen on; anything but loopback demands TELLER_SERVER_TOKEN",
    )
    port: int = Field(default=8080, ge=0, le=65_535, description="port to listen on; 0 takes a free one")
    allowed_origins: tuple[str, ...] = Field(default=(), description="web origins besides its own that may connect")
    max_calls: int = Field(default=50, ge=1, le=10_000, description="calls at once")
    max_call_s: int = Field(default=1_800, ge=1, description="longest call, in seconds")
    idle_timeout_s: int = Field(default=300, ge=1, description="longest silence of a connection, in seconds")
    requests_per_minute: int = Field(default=120, ge=1, description="requests per caller and minute")
    max_message_bytes: int = Field(default=4_000_000, ge=1_000, le=100_000_000, description="largest message or upload")
    max_audio_s: int = Field(default=60, ge=1, le=600, description="longest utterance, in seconds")
    max_turn_s: float = Field(default=60, gt=0, le=600, description="longest wait for one answer, in seconds")
    drain_s: float = Field(
        default=10, gt=0, le=600, description="time that running turns are given when the server stops, in seconds"
    )
    public_host: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9.:-]{1,253}$",
        description="host name under which callers reach the server; given, every other one is refused",
    )

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _split(cls, origins: object) -> object:
        return tuple(filter(None, map(str.strip, origins.split(",")))) if isinstance(origins, str) else origins


class LogSettings(_Section):
    """The log of turns, which `orchestrator-log` and the reports read."""

    turns: bool = Field(default=True, description="whether turns are logged")
    keep_text: bool = Field(
        default=True, description="whether the log holds questions and answers, redacted as they are, or numbers alone"
    )
    keep_days: float = Field(
        default=90.0, gt=0, le=3_650, description="days after which everything about a turn is deleted from the log"
    )
    token_price: float = Field(
        default=0.0,
        ge=0,
        description="price of 1,000 generated tokens, for the money that the cache saves; 0 shows none",
    )
    currency: str = Field(default="GBP", pattern=r"^[A-Z]{3}$", description="currency of log.token_price")


class TelemetrySettings(_Section):
    """What the server tells its operator as it runs."""

    metrics: bool = Field(default=True, description="whether /metrics is served, for Prometheus")
    log_format: Literal["text", "json"] = Field(
        default="text", description="lines on standard error: for people, or JSON with a line for each turn"
    )
    otlp_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="OpenTelemetry collector that traces are sent to, as in http://127.0.0.1:4318; unset: none",
    )


class Settings(_Section):
    """The whole tree."""

    home: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("teller", appauthor=False)),
        description="folder of everything that Teller keeps",
    )
    bank: BankSettings = BankSettings()
    knowledge: KnowledgeSettings = KnowledgeSettings()
    cache: CacheSettings = CacheSettings()
    engines: EngineSettings = EngineSettings()
    adapters: AdapterSettings = AdapterSettings()
    log: LogSettings = LogSettings()
    server: ServerSettings = ServerSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    server_token: SecretStr | None = Field(
        default=None, description="bearer token that callers must present; environment only"
    )
    mistral_api_key: SecretStr | None = Field(default=None, description="key of the Mistral API; environment only")
    openai_api_key: SecretStr | None = Field(
        default=None, description="key of the OpenAI-compatible server; environment only"
    )
    cache_key: SecretStr | None = Field(
        default=None,
        description="base64 of 32 bytes: turns on and encrypts customer-private cache entries; environment only",
    )

    @field_validator("home", mode="before")
    @classmethod
    def _not_empty(cls, home: object) -> object:
        if home == "":  # a variable that was emptied; as a path it would be the working folder
            raise ValueError("no folder is named")
        return home

    @field_validator("home")
    @classmethod
    def _expand(cls, home: Path) -> Path:
        return home.expanduser().absolute()


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and for each dotted name where its value came from ("default", a file, a variable, a flag)."""

    settings: Settings
    origins: Mapping[str, str]

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """(name, value, origin) of each setting; secrets show only whether they are set."""
        for name, value in _flatten(self.settings.model_dump()):
            shown = ("set" if value is not None else "not set") if name in _SECRETS else _shown(value)
            yield name, shown, self.origins.get(name, "default")

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """For JSON: dotted name to value and origin; of a secret only whether it is set."""
        return {
            name: {
                "value": value is not None if name in _SECRETS else value,
                "origin": self.origins.get(name, "default"),
            }
            for name, value in _flatten(self.settings.model_dump(mode="json"))
        }


def load(
    config: Path | None = None, flags: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None
) -> Loaded:
    """Read the settings.

    Args:
        config: TOML file; unset: the one named by TELLER_CONFIG, else `teller.toml` here if there is one.
        flags: dotted name to text, as given on the command line.
        environ: the environment; unset: the process's own.

    Raises:
        ConfigError: naming the key and where it stands: for a key that does not exist (with the nearest one that does),
            for a value that does not fit, for a file that is missing or not TOML, for a secret in a file.
    """
    environ = os.environ if environ is None else environ
    path = _config_file(config, environ)
    layers: list[tuple[str, dict[str, Any]]] = []
    if path is not None:
        layers.append((str(path), _read_toml(path)))
    layers.append(("environment", _read_environment(environ)))
    layers.append(("command line", _nest(flags or {})))
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        for name, value in _flatten(layer):
            _check_known(name, origin)
            _place(merged, name, value)
            origins[name] = f"{PREFIX}{name.upper().replace('.', '__')}" if origin == "environment" else origin
    try:
        settings = Settings(**merged)
    except ValidationError as exc:
        raise ConfigError(_explain(exc, origins)) from None
    _check_together(settings)
    return Loaded(settings, origins)


def known_names() -> list[str]:
    """Every setting's dotted name, in the order of the tree."""
    return [name for name, _, _ in describe()]


def describe() -> Iterator[tuple[str, str, str]]:
    """(dotted name, default, description) of every setting, for the documentation."""
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, _Section):
            for inner, part in section.model_fields.items():
                yield f"{name}.{inner}", _shown(part.default), part.description or ""
        else:
            default = "platform's data folder" if name == "home" else _shown(field.default)
            yield name, default, field.description or ""


def _config_file(config: Path | None, environ: Mapping[str, str]) -> Path | None:
    if config is not None:
        return config
    if named := environ.get(CONFIG_VARIABLE):
        return Path(named)
    local = Path("teller.toml")
    return local if local.is_file() else None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            tree = tomllib.load(file)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such settings file") from None
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: not TOML: it is no UTF-8 text") from exc
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror or type(exc).__name__}") from exc
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{path}: not TOML: {exc}") from exc
    for name in _SECRETS:
        if name in tree:
            raise ConfigError(f"{path}: '{name}' is a secret; set the variable {PREFIX}{name.upper()} instead")
    return tree


def _read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    flat = {
        variable.removeprefix(PREFIX).lower().replace("__", "."): variable
        for variable in sorted(environ)
        if variable.startswith(PREFIX) and variable != CONFIG_VARIABLE
    }
    for name, variable in flat.items():
        if name not in known_names():
            raise ConfigError(f"environment: there is no setting for {variable}{_nearest(name, variable=True)}")
    return _nest({name: environ[variable] for name, variable in flat.items()})


def _nest(flat: Mapping[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        _check_known(name, "command line")
        _place(tree, name, value)
    return tree


def _place(tree: dict[str, Any], name: str, value: Any) -> None:
    *sections, last = name.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
    tree[last] = value


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _check_known(name: str, origin: str) -> None:
    if name not in known_names():
        raise ConfigError(f"{origin}: there is no setting '{name}'{_nearest(name)}")


def _nearest(name: str, *, variable: bool = False) -> str:
    near = difflib.get_close_matches(name, known_names(), n=1, cutoff=0.5)
    if not near:
        tail = name.rsplit(".", 1)[-1]
        near = [full for full in known_names() if full.rsplit(".", 1)[-1] == tail][:1]
    if not near:
        return "; `teller config` lists them all"
    return f"; did you mean {PREFIX + near[0].upper().replace('.', '__') if variable else repr(near[0])}?"


def _explain(error: ValidationError, origins: Mapping[str, str]) -> str:
    problems = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        given = "" if name in _SECRETS else f", got {problem['input']!r}"
        problems.append(
            f"{origins.get(name, 'settings')}: {name}: {problem['msg'].removeprefix('Value error, ')}{given}"
        )
    return "\n".join(problems)


def _check_together(settings: Settings) -> None:
    if settings.engines.adapter_host != "none" and settings.engines.generator != "openai":
        raise ConfigError(
            f"engines.adapter_host is {settings.engines.adapter_host}, which serves adapters to the generator openai; "
            f"engines.generator is {settings.engines.generator}"
        )
    if settings.server.host not in LOOPBACK and settings.server_token is None:
        raise ConfigError(
            f"server.host is {settings.server.host}: a server that others can reach needs a token. "
            f"Set {PREFIX}SERVER_TOKEN to a long random text, or listen on 127.0.0.1"
        )
    if settings.server_token is not None and len(settings.server_token.get_secret_value()) < 16:
        raise ConfigError(f"{PREFIX}SERVER_TOKEN is too short to be a secret: at least 16 characters are wanted")


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "-"
    return str(value)
