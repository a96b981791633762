"""Processes of their own that pull and push."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.interpreter import ISOLATED, ROOT

_BEGINNING = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
_PULL = """
import resource, sys
from pathlib import Path
from lifecycle.cnb.reference import Reference
from lifecycle.oci.descriptor import Platform
from lifecycle.registry.blobs import BlobStore
from lifecycle.registry.client import RegistryClient
from lifecycle.registry.credentials import Found
from lifecycle.registry.pull import pull, resolve
from lifecycle.registry.settings import RegistrySettings
name, directory, limit = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
client = RegistryClient(settings=RegistrySettings(), find_login=lambda reference: Found())
blobs = BlobStore(directory=Path(directory))
try:
    resolved = resolve(client, Reference.parse(name), Platform(os="linux", architecture="amd64"), blobs)
    pull(client, resolved, blobs)
except OSError as err:
    sys.exit(err.strerror)
"""
_PUSH = """
import sys
from pathlib import Path
from lifecycle.cnb.reference import Reference
from lifecycle.oci.layout import read_image
from lifecycle.oci.location import parse_location
from lifecycle.registry.client import RegistryClient
from lifecycle.registry.credentials import Found
from lifecycle.registry.push import put_image, upload_blobs
from lifecycle.registry.settings import RegistrySettings
name, directory = Reference.parse(sys.argv[1]), sys.argv[2]
client = RegistryClient(settings=RegistrySettings(), find_login=lambda reference: Found())
image = read_image(parse_location(f"oci:{directory}"))
upload_blobs(client, name, image)
put_image(client, [name], image)
"""
_NO_LIMIT = 1 << 40


def start_pull(name: str, directory: Path, limit: int = _NO_LIMIT) -> subprocess.Popen[str]:
    """Pull an image into `directory`, where no file may become larger than `limit`."""
    return _start(_PULL, name, str(directory), str(limit))


def start_push(name: str, layout: Path) -> subprocess.Popen[str]:
    """Push the image in `layout`."""
    return _start(_PUSH, name, str(layout))


def _start(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*ISOLATED, "-c", _BEGINNING + program, *arguments], stderr=subprocess.PIPE, text=True)
