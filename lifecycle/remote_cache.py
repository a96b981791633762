"""The cache of an application in a registry: taken where the one here is missing or older, exported while the image is.

Nothing about it ends a build: what cannot be used or written is said, and the build goes on without.
"""

from __future__ import annotations

import contextlib
import datetime
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from lifecycle.cache import Cache
from lifecycle.cache_contents import TreeFacts
from lifecycle.cache_image import CacheImage, CacheImageRequest, make_cache_image, read_cache_label, take_cache_image
from lifecycle.cnb.api import DEFAULT_EXEC_ENV
from lifecycle.cnb.command import CommandTimeout, require_time
from lifecycle.cnb.deadline import NEVER, Deadline
from lifecycle.cnb.errors import CnbError
from lifecycle.cnb.group import Group
from lifecycle.cnb.layer import remove_tree
from lifecycle.cnb.reference import Reference
from lifecycle.log import StepLog
from lifecycle.oci.archive import Owner
from lifecycle.oci.descriptor import Platform, host_platform
from lifecycle.oci.errors import OciError
from lifecycle.oci.image import Image
from lifecycle.registry.blobs import BlobStore
from lifecycle.registry.client import RegistryClient
from lifecycle.registry.errors import NoSuchImage, RegistryUnreachable
from lifecycle.registry.parallel import end_all
from lifecycle.registry.pull import Resolved, pull, resolve
from lifecycle.registry.push import Uploaded, put_image, upload_blobs

# A registry that does not answer is given up sooner where the build can do without.
_ATTEMPTS = 2
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedCache:
    """What is to be remembered of an export: facts of trees in the layers directory, and the digest of the image if there is one."""

    facts: Mapping[Path, TreeFacts] = field(default_factory=dict)
    digest: str | None = None


class RemoteCache:
    """The cache image `reference`, for one build. `work` is a directory of that build, on the file system of its cache."""

    def __init__(
        self,
        reference: Reference,
        client: RegistryClient,
        *,
        work: Path,
        log: StepLog,
        platform: Platform | None = None,
        deadline: Deadline = NEVER,
    ) -> None:
        self._platform = platform or host_platform()
        self._reference = reference.with_default_tag()
        self._client = client
        self._work = work
        self._log = log
        self._deadline = deadline
        self._found: Resolved | None = None
        self._is_trusted = True
        self._is_reachable = True
        client.on_wait = log.warning

    def restore(self, cache: Cache) -> bool:
        """Let the image take the place of `cache` where that is missing, not whole or older; return whether it did.

        Raises `CommandTimeout`: the deadline has passed. Whatever else is wrong is a warning.
        """
        try:
            return self._restore(cache)
        except CommandTimeout:
            raise
        except NoSuchImage:
            self._log.info(f"There is no cache image {self._reference} yet")
        except (CnbError, OSError) as err:
            self._is_reachable = not isinstance(err, RegistryUnreachable)
            if isinstance(err, OciError):
                # Of what the registry has of it, nobody knows what is damaged.
                self._found, self._is_trusted = None, False
            self._log.warning(f"The cache image {self._reference} is not used: {_reason(err)}")
        finally:
            remove_tree(self._work / "taken")
        return False

    def close(self) -> None:
        """Close the connections to its registry."""
        self._client.close()

    def look_up(self) -> None:
        """Find out what the image holds now, whose layers need not be made and sent again; none need to be there."""
        # What is wrong with it, or with the registry, is said when the new one goes there.
        with contextlib.suppress(CnbError, OSError):
            blobs = BlobStore(directory=self._work / "taken")
            self._found = resolve(self._client, self._reference, self._platform, blobs, attempts=_ATTEMPTS)

    def _restore(self, cache: Cache) -> bool:
        blobs = BlobStore(directory=self._work / "taken")
        found = resolve(self._client, self._reference, self._platform, blobs, attempts=_ATTEMPTS)
        self._found = found
        is_known = cache.recall().image == str(found.digest)
        if cache.is_whole and (is_known or cache.saved_at >= _seconds(found.config.created)):
            self._log.detail(f"The cache here is as new as {self._reference}")
            return False
        read_cache_label(found.config, cache, source="the image")
        with self._log.step(f"Taking the cache from {self._reference} ({found.size / 1e6:.1f} MB)"):
            image = pull(self._client, found, blobs)
            take_cache_image(image, cache, self._work / "taken" / "trees", self._log, deadline=self._deadline)
        return True

    @contextlib.contextmanager
    def exporting(
        self, cache: Cache, *, layers_dir: Path, group: Group, owner: Owner, exec_env: str = DEFAULT_EXEC_ENV
    ) -> Iterator[Callable[[], SavedCache]]:
        """Make the image of what the build leaves in `layers_dir`, and upload it, while the context lasts.

        What the context gives waits until it is there and lets the tag name it; call it once, at the end. Nothing may be written to
        `layers_dir` meanwhile. Where the context ends with an error, nothing goes on behind it.
        """
        stopped = threading.Event()

        def check() -> None:
            if stopped.is_set():
                raise _StoppedError
            require_time(self._deadline, "cache image")

        found = self._found
        request = CacheImageRequest(
            layers_dir=layers_dir,
            group=group,
            cache=cache,
            known={}
            if found is None
            else dict(zip(map(str, found.config.diff_ids), found.manifest.layers, strict=True)),
            blobs_dir=self._work / "made",
            owner=owner,
            platform=self._platform,
            created=datetime.datetime.now(datetime.timezone.utc).strftime(_TIME),
            exec_env=exec_env,
            check=check,
        )
        with ThreadPoolExecutor(1) as executor:
            task = executor.submit(self._prepare, request) if self._is_reachable else None
            try:
                yield lambda: SavedCache() if task is None else self._finish(request, task)
            except BaseException:
                stopped.set()
                end_all(self._client, [] if task is None else [task])
                raise

    def _prepare(self, request: CacheImageRequest) -> _Prepared:
        """The image, with everything that it names in the repository."""
        made = make_cache_image(request, self._log)
        if made is None or self._is_there(made.image):
            return _Prepared(made=made)
        try:
            return _Prepared(made=made, uploaded=self._upload(made.image))
        except FileNotFoundError:
            return self._prepare_anew(request)

    def _prepare_anew(self, request: CacheImageRequest) -> _Prepared:
        """The same, where the registry has lost blobs that only it had."""
        made = make_cache_image(replace(request, known={}), self._log)
        return _Prepared(made=made, uploaded=None if made is None else self._upload(made.image))

    def _finish(self, request: CacheImageRequest, task: Future[_Prepared]) -> SavedCache:
        try:
            with self._log.step(f"Exporting the cache to {self._reference}"):
                prepared = task.result()
                try:
                    uploaded = self._put(prepared)
                except FileNotFoundError:
                    prepared = self._prepare_anew(request)
                    uploaded = self._put(prepared)
        except (CnbError, OSError) as err:
            self._log.warning(f"The cache image {self._reference} could not be written: {_reason(err)}")
            return SavedCache()
        if prepared.made is None:
            return SavedCache()
        image = prepared.made.image
        digest = self._found.digest if uploaded is None and self._found is not None else image.digest
        sent = "unchanged" if uploaded is None else _describe(uploaded)
        self._log.info(f"Cache image {self._reference}@{digest}: {sent}")
        return SavedCache(facts=prepared.made.facts, digest=str(digest))

    def _put(self, prepared: _Prepared) -> Uploaded | None:
        """Let the tag name the image; what had to be uploaded for it in all, `None` where it is named already."""
        if prepared.made is None or prepared.uploaded is None:
            return None
        return prepared.uploaded + put_image(self._client, [self._reference], prepared.made.image)

    def _upload(self, image: Image) -> Uploaded:
        return upload_blobs(self._client, self._reference, image, is_trusted=self._is_trusted)

    def _is_there(self, image: Image) -> bool:
        """Whether the tag names the same cache, but for when it was made."""
        if self._found is None:
            return False
        there = self._found.config
        return (there.diff_ids, there.labels) == (image.config.diff_ids, image.config.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """`made` is `None` where nothing is cached; `uploaded`, where the tag names the same cache already."""

    made: CacheImage | None
    uploaded: Uploaded | None = None


class _StoppedError(Exception):
    """Nobody wants the image any more."""


def _reason(err: CnbError | OSError) -> str:
    return err.summary if isinstance(err, CnbError) else err.strerror or str(err)


def _seconds(created: str | None) -> float:
    """Since 1970; infinite, so newer than anything, where the image does not say it in our words."""
    try:
        moment = datetime.datetime.strptime(created or "", _TIME)
    except ValueError:
        return math.inf
    return moment.replace(tzinfo=datetime.timezone.utc).timestamp()


def _describe(done: Uploaded) -> str:
    there = done.present + done.mounted
    return f"{done.uploaded.size / 1e6:.1f} MB sent, {there.size / 1e6:.1f} MB were there"
