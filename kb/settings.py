"""Every setting of kb, once: name, default, help. `kb config`, docs/settings.md and a test read this table.

Sources, strongest first: environment `KB_*`, a `kb.toml` in the working directory (or `KB_CONFIG`), defaults.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)


def _config_file() -> Path:
    return Path(os.environ.get("KB_CONFIG", "kb.toml"))


class Settings(BaseSettings):
    """Read once at start; passed down, never global."""

    model_config = SettingsConfigDict(env_prefix="KB_", extra="forbid", frozen=True)

    # where
    data: Path = Field(Path("data/state"), description="State directory: database, blobs, indexes, models.")
    host: str = Field("127.0.0.1", description="Address the web server listens on.")
    port: int = Field(8080, ge=1, le=65535, description="Port the web server listens on.")
    database_url: str = Field("", description="Database; empty means SQLite in the state directory.")
    public_url: str = Field(
        "", description="Address people use, e.g. https://kb.example; empty means host:port."
    )

    # reading documents
    encoder: str = Field(
        "all-MiniLM-L6-v2",
        description="Sentence encoder: the bundled name, a directory, or a hub repository. "
        "After a change, `kb doctor --repair` embeds everything again.",
    )
    encoder_precision: Literal["auto", "int8", "bf16", "fp32"] = Field(
        "auto",
        description="Arithmetic of embedding; auto: the fastest that this processor does as well as fp32.",
    )
    encoder_threads: int = Field(0, ge=0, description="Threads for embedding; 0 means one per core.")
    tika_url: str = Field("", description="A running Tika server; empty means kb starts its own.")
    tika_port: int = Field(0, ge=0, description="First port of kb's own Tika; 0 means any free one.")
    tika_slots: int = Field(2, ge=1, le=16, description="Documents parsed at the same time: one JVM each.")
    tika_heap_mb: int = Field(768, ge=128, description="Heap of each Tika JVM, MiB.")
    parse_timeout_s: int = Field(
        300, ge=1, description="Longest time one document may take to parse, seconds."
    )
    ocr_languages: str = Field("eng+chi_sim", description="Tesseract languages for scanned pages.")
    max_file_mb: int = Field(200, ge=1, description="Largest file accepted, MiB.")
    max_text_chars: int = Field(
        20_000_000,
        ge=1000,
        description="Longest text read from one document; what is beyond is left out, and said.",
    )
    max_embedded: int = Field(2000, ge=0, description="Embedded files read from one document.")
    chunk_tokens: int = Field(256, ge=32, description="Longest piece of a document, in the encoder's tokens.")

    # finding
    passages: int = Field(
        10, ge=1, le=50, description="Passages returned for a question unless asked otherwise."
    )

    # answering
    llm_url: str = Field(
        "", description="OpenAI-compatible server, e.g. http://127.0.0.1:8000/v1; empty: none."
    )
    llm_model: str = Field("", description="Model name to ask for; empty means the server's first.")
    llm_key: str = Field("", description="Key sent to the model server.")
    llm_context_tokens: int = Field(
        4096, ge=512, description="Tokens of passages and history sent to the model."
    )
    llm_max_new_tokens: int = Field(512, ge=1, description="Longest generated answer, tokens.")
    llm_temperature: float = Field(0.2, ge=0, le=2, description="Sampling temperature.")
    llm_top_p: float = Field(0.95, gt=0, le=1, description="Nucleus sampling.")
    llm_repetition_penalty: float = Field(1.05, ge=0.5, le=2, description="Above 1 discourages repetition.")
    llm_reasoning_effort: str = Field("low", description="gpt-oss reasoning effort: low, medium or high.")
    llm_connect_s: float = Field(
        2.0, gt=0, description="Longest wait for a connection to the model, seconds."
    )
    llm_first_token_s: float = Field(30.0, gt=0, description="Longest wait for the first token, seconds.")
    llm_stall_s: float = Field(10.0, gt=0, description="Longest silence between tokens, seconds.")
    llm_total_s: float = Field(120.0, gt=0, description="Longest generation, seconds.")
    llm_concurrency: int = Field(4, ge=1, description="Answers generated at the same time; others queue.")
    llm_queue: int = Field(
        32, ge=0, description="Longest queue for the model; beyond it answers quote instead."
    )

    # the model in the house
    model_file: str = Field(
        "", description="Packed local model to serve; empty means the newest in the state directory."
    )
    model_ram: str = Field(
        "auto",
        description="Memory for the local model, key-value cache included, e.g. 3GB; auto: what is free.",
    )
    model_port: int = Field(0, ge=0, description="Port of the local model server; 0 means any free one.")
    model_threads: int = Field(0, ge=0, description="Threads of the local model; 0 means one per core.")
    model_context: int = Field(
        8192, ge=512, description="Longest prompt and answer of the local model, tokens."
    )
    model_kv_ram: str = Field("1GB", description="Memory for the local model's key-value cache.")

    # keeping
    keep_answers_days: int = Field(
        0, ge=0, description="Days after its last question that a conversation is deleted; 0 keeps all."
    )
    keep_revisions: int = Field(
        0, ge=0, description="Newest revisions kept of a document, beside the one that answers; 0 keeps all."
    )

    # people
    session_days: int = Field(14, ge=1, description="Days until a browser session ends.")
    trusted_proxies: int = Field(
        0, ge=0, description="Reverse proxies in front whose X-Forwarded-* are believed."
    )
    login_attempts: int = Field(
        10, ge=1, description="Sign-in attempts per five minutes, by account and by address."
    )
    requests_per_minute: int = Field(600, ge=1, description="API requests a minute for one key.")

    @field_validator("public_url")
    @classmethod
    def _address(cls, given: str) -> str:
        """Links are made of it, and sign-in cookies depend on how it begins."""
        if not given:
            return ""
        scheme, host, *rest = urlsplit(given)
        if scheme not in ("http", "https") or not host or any(rest[1:]) or rest[0] not in ("", "/"):
            raise ValueError("must be like https://kb.example or http://kb.example:8080, without a path")
        return f"{scheme}://{host}"

    @field_validator("tika_url", "llm_url")
    @classmethod
    def _servers(cls, given: str, info: ValidationInfo) -> str:
        """Several of Tika are parted by commas. A mistyped one would only show as documents that wait for ever."""
        urls = [part.strip() for part in given.split(",") if part.strip()]
        if not all(map(_names_a_server, urls)) or (len(urls) > 1 and info.field_name != "tika_url"):
            raise ValueError("must be an address such as http://127.0.0.1:8000")
        return ",".join(urls)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then kb.toml."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=_config_file())

    @property
    def database(self) -> str:
        """The database URL in force."""
        return self.database_url or f"sqlite:///{(self.data / 'kb.sqlite3').resolve()}"

    @property
    def local_url(self) -> str:
        """Where this machine reaches the web server."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


def _names_a_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        found = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, half an IPv6 address
        return False
    return found and url.isascii() and not any(c.isspace() for c in url)


def origins(settings: Settings) -> dict[str, str]:
    """Where each value comes from: environment | kb.toml | default | argument."""
    import tomllib

    path = _config_file()
    in_file: dict[str, Any] = tomllib.loads(path.read_text()) if path.is_file() else {}
    found = {}
    for name in Settings.model_fields:
        if f"KB_{name.upper()}" in os.environ or f"kb_{name}" in os.environ:
            found[name] = "environment"
        elif name in in_file:
            found[name] = str(path)
        else:
            found[name] = "argument" if name in settings.model_fields_set else "default"
    return found
