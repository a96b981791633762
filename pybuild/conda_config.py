"""What the machine's own configuration of conda, mamba, pixi and rattler says of channels: mirrors, proxies, certificates, credentials.

https://docs.conda.io/projects/conda/en/stable/user-guide/configuration/use-condarc.html,
https://mamba.readthedocs.io/en/latest/user_guide/configuration.html, https://pixi.sh/latest/reference/pixi_configuration/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.toml import read_regular_file, read_toml

_DEFAULT_ALIAS = "https://conda.anaconda.org"


@dataclass(frozen=True, slots=True, kw_only=True)
class CondaConfig:
    """Where channels are on this machine."""

    channel_alias: str | None = None
    mirrors: tuple[tuple[str, str], ...] = ()
    """URL of a channel, or the beginning of such URLs, and what to take instead; the first of several is tried first."""
    proxies: Mapping[str, str] = field(default_factory=dict)
    """`http` and `https`."""
    ca_bundle: Path | None = None
    credentials: str = ""
    """Content of rattler's file of credentials; empty where there is none."""


def read_conda_config(env: Mapping[str, str], home: Path) -> CondaConfig:
    """Return what the environment `env` and the files of the machine say; files that cannot be read are passed over."""
    merged: dict[str, object] = {}
    for path in _condarc_files(env, home):
        merged |= _read_yaml(path)
    alias = env.get("CONDA_CHANNEL_ALIAS") or _text(merged.get("channel_alias"))
    tables = [_read_toml(path) for path in _pixi_files(env, home)]
    mirrors = [
        *_condarc_mirrors(merged, alias or _DEFAULT_ALIAS),
        *(pair for table in tables for pair in _mirrors(table)),
    ]
    bundle = env.get("CONDA_SSL_VERIFY") or _text(merged.get("ssl_verify")) or ""
    return CondaConfig(
        channel_alias=alias,
        mirrors=tuple(dict.fromkeys(mirrors)),
        proxies={scheme: url for scheme, url in _table(merged.get("proxy_servers")).items() if isinstance(url, str)},
        ca_bundle=Path(bundle) if bundle.startswith("/") and Path(bundle).is_file() else None,
        credentials=_credentials(env, home, tables),
    )


def _condarc_files(env: Mapping[str, str], home: Path) -> Iterator[Path]:
    """Lowest priority first."""
    config = Path(env.get("XDG_CONFIG_HOME") or home / ".config")
    for directory in (Path("/etc/conda"), Path("/var/lib/conda"), config / "conda", home / ".conda"):
        yield directory / "condarc"
        yield directory / ".condarc"
    yield home / ".condarc"
    yield home / ".mambarc"
    if env.get("CONDARC"):
        yield Path(env["CONDARC"])


def _pixi_files(env: Mapping[str, str], home: Path) -> Iterator[Path]:
    config = Path(env.get("XDG_CONFIG_HOME") or home / ".config")
    yield Path("/etc/pixi/config.toml")
    yield config / "pixi" / "config.toml"
    yield Path(env.get("PIXI_HOME") or home / ".pixi") / "config.toml"
    yield config / "rattler" / "config.toml"


def _read_yaml(path: Path) -> Mapping[str, object]:
    if not path.is_file():
        return {}
    import yaml  # takes longer than reading all other settings, and few machines have such a file

    try:
        values = yaml.safe_load(read_regular_file(path))
    except (ConfigurationError, yaml.YAMLError, UnicodeDecodeError):
        return {}
    return _table(values)


def _read_toml(path: Path) -> Mapping[str, object]:
    if not path.is_file():
        return {}
    try:
        return read_toml(path)
    except ConfigurationError:
        return {}


def _condarc_mirrors(merged: Mapping[str, object], alias: str) -> Iterator[tuple[str, str]]:
    for name, place in _table(merged.get("custom_channels")).items():
        # The location of a custom channel is what its name is appended to.
        yield f"{alias.rstrip('/')}/{name}", f"{str(place).rstrip('/')}/{name}"
    for name, places in _table(merged.get("mirrored_channels")).items():
        for place in places if isinstance(places, list) else ():
            yield f"{alias.rstrip('/')}/{name}", str(place).rstrip("/")


def _mirrors(table: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for url, places in _table(table.get("mirrors")).items():
        for place in places if isinstance(places, list) else ():
            yield url.rstrip("/"), str(place).rstrip("/")


def _credentials(env: Mapping[str, str], home: Path, tables: Iterable[Mapping[str, object]]) -> str:
    named = [env.get("RATTLER_AUTH_FILE"), *(_text(table.get("authentication-override-file")) for table in tables)]
    for path in (*(Path(name) for name in named if name), home / ".rattler" / "credentials.json"):
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
    return ""


def _table(value: object) -> Mapping[str, object]:
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
