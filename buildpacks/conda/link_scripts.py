"""Post-link scripts: what a package runs once after its files have been put into the prefix.

https://docs.conda.io/projects/conda-build/en/stable/resources/link-scripts.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from buildpacks.conda.lock import LockedPackage
from buildpacks.conda.prefix import read_record
from lifecycle.cnb.kit import BuildContext, BuildpackError

# Scripts write for people into this file below the prefix.
_MESSAGES = ".messages.txt"
# What a script may need to download something. Credentials, and what steers the tools of the build, stay with them.
_PASSED_ON = (
    *("HOME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy"),
)


@dataclass(eq=False, kw_only=True)
class LinkScriptFailed(BuildpackError):
    """A script of a package gave up; its output was shown before."""

    package: str
    status: int
    messages: str
    """What the script wrote for people; may be empty."""

    @property
    def summary(self) -> str:
        """Whose script, and how it ended."""
        return f"the post-link script of {self.package} exited with status {self.status}"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """The script's own words."""
        return (("message", self.messages),) if self.messages else ()

    @property
    def hint(self) -> str | None:
        """What can be done about a script of somebody else."""
        return "what the script printed is above; another version or build of the package may not need it"


@dataclass(eq=False, kw_only=True)
class ForeignLinkScript(BuildpackError):
    """A package wants to run programs that this machine cannot run."""

    package: str
    platform: str

    @property
    def summary(self) -> str:
        """Whose script, and for what."""
        return f"the post-link script of {self.package} cannot be run here: the image is for {self.platform}"

    @property
    def hint(self) -> str | None:
        """How to do without it."""
        return f"ask for a version or build of the package without such a script, or build the image on a {self.platform} machine"


def is_link_script(path: str, package: LockedPackage) -> bool:
    """Return whether `path` of the package is its post-link script."""
    return path == _script(package)


def run_link_scripts(context: BuildContext, prefix: Path, packages: Sequence[LockedPackage]) -> None:
    """Run the scripts that there are, in the order of `packages`. Raises `LinkScriptFailed` and `ForeignLinkScript`."""
    for package in packages:
        script = prefix / _script(package)
        if not script.is_file():
            continue
        if context.target.is_foreign:
            raise ForeignLinkScript(package=str(package), platform=context.target.platform)
        context.say(f"Running the post-link script of {package}")
        env = _environment(context.env, prefix, package)
        done = context.run(["bash", str(script)], env=env, cwd=prefix, echo=False)
        messages = _take_messages(prefix)
        if done.status != 0:
            raise LinkScriptFailed(package=str(package), status=done.status, messages=messages)
        for line in messages.splitlines():
            context.say(f"  {line}")


def _script(package: LockedPackage) -> str:
    return f"bin/.{package.name}-post-link.sh"


def _environment(env: Mapping[str, str], prefix: Path, package: LockedPackage) -> dict[str, str]:
    return {
        **{name: env[name] for name in _PASSED_ON if name in env},
        "PATH": f"{prefix / 'bin'}:{env.get('PATH', '')}",
        "LC_ALL": "C.UTF-8",
        "PREFIX": str(prefix),
        "ROOT_PREFIX": str(prefix),
        "CONDA_PREFIX": str(prefix),
        "PKG_NAME": package.name,
        "PKG_VERSION": package.version,
        "PKG_BUILDNUM": str(read_record(prefix, package).get("build_number", 0)),
        # What Python would write differs from build to build.
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONNOUSERSITE": "1",
    }


def _take_messages(prefix: Path) -> str:
    file = prefix / _MESSAGES
    if not file.is_file() or file.is_symlink():
        return ""
    text = file.read_text(encoding="utf-8", errors="replace").strip()
    file.unlink()
    return text
