"""What can go wrong with images and the files they live in.

CnbError
  OciError                   3
    ImageNotFound            3   nothing is where an image was said to be
    BrokenImage              3   the files of an image contradict each other
      BlobMismatch           3   a blob is not what its descriptor says
    UnsupportedImage         3   a valid image, in a form that is not read here
    UnpackFailed             3   a layer that cannot be unpacked
    UnpackToolMissing        4   the program that confines unpacking is not installed
    ArchiveError            62   a file that cannot be put into a layer

What is wrong with an image that a person named is an `InputError` too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lifecycle.cnb.errors import CnbError, InputError


@dataclass(eq=False)
class OciError(CnbError):
    """Root of this package's errors: `subject` is a file, a location or a text, `message` what is wrong with it."""

    exit_code: ClassVar[int] = 3

    subject: str
    message: str
    advice: str | None = None

    @property
    def summary(self) -> str:
        """Subject and message."""
        return f"{self.subject}: {self.message}"

    @property
    def hint(self) -> str | None:
        """The advice that the raiser gave."""
        return self.advice


class ImageNotFound(OciError, InputError):
    """Nothing is where an image was said to be."""


class BrokenImage(OciError, InputError):
    """The files of an image are missing, malformed or contradict each other."""


class UnsupportedImage(OciError, InputError):
    """A valid image in a form that pybuild does not read."""


class UnpackFailed(OciError, InputError):
    """A layer cannot be unpacked."""


@dataclass(eq=False)
class UnpackToolMissing(OciError):
    """Bubblewrap, which keeps unpacking inside its directory, is not installed or may not run."""

    exit_code: ClassVar[int] = 4


@dataclass(eq=False)
class ArchiveError(OciError):
    """A file that cannot be put into a layer."""

    exit_code: ClassVar[int] = 62


@dataclass(eq=False, kw_only=True)
class BlobMismatch(BrokenImage):
    """A blob is not what its descriptor says; the pairs are what was expected and what was found."""

    subject: str
    message: str = "does not match its descriptor"
    expected_digest: str
    found_digest: str | None
    """`None` where the size was wrong already and nothing was hashed."""
    expected_size: int
    found_size: int

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Digest and size, expected and found."""
        size = (("size", f"expected {self.expected_size} bytes, read {self.found_size} bytes"),)
        if self.found_digest is None:
            return (("digest", f"expected {self.expected_digest}"), *size)
        return (("digest", f"expected {self.expected_digest}, read {self.found_digest}"), *size)
