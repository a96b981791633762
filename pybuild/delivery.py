"""Brings images to their outputs: with what this machine reaches registries by, with progress, and with a line on what travelled."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lifecycle.cnb.command import require_time
from lifecycle.cnb.deadline import NEVER, Deadline
from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.reference import Reference
from lifecycle.exporters import Connections, Output, Written, check_outputs, parse_output, refuse_index, write_outputs
from lifecycle.exporters.daemon import DaemonOutput
from lifecycle.exporters.registry import RegistryOutput
from lifecycle.exporters.transfer import Progress, Transfer, size_of_blobs
from lifecycle.oci.image import Image
from lifecycle.oci.image_index import Content
from lifecycle.oci.location import DAEMON_PREFIX, REGISTRY_PREFIX
from pybuild.errors import UsageError
from pybuild.image_store import open_client
from pybuild.log import Log


class Deliver(Protocol):
    """What brings a finished image to its outputs: `Delivery.deliver`, or nothing where it waits for others."""

    def __call__(self, image: Image, log: Log, *, origins: Sequence[str], deadline: Deadline) -> tuple[Written, ...]:
        """Return what was written."""


def read_outputs(outputs: Sequence[Output | str]) -> tuple[Output, ...]:
    """The outputs that are meant. Raises `UsageError`."""
    if isinstance(outputs, str):
        # It is a sequence of texts as well: of its characters.
        raise UsageError(f"the outputs are a text, `{outputs}`, and not several", f'write `["{outputs}"]`')
    return tuple(_read_output(one) if isinstance(one, str) else one for one in outputs)


def _read_output(text: str) -> Output:
    try:
        return parse_output(text)
    except InvalidValue as err:
        raise UsageError(f"the output `{text}` {err.message}", err.hint) from err


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Where an image goes, and by what. `env` is the machine's environment."""

    outputs: tuple[Output, ...]
    env: Mapping[str, str]
    insecure_registries: tuple[str, ...] = ()

    def refuse_names(self, names: Sequence[str]) -> None:
        """Raise `UsageError` where an output would take the place of an image of the builder, `names`."""
        taken = set()
        for name in names:
            # A builder may call its image what no registry would: no output is called that.
            with contextlib.suppress(InvalidValue):
                taken.add(Reference.parse(name).with_default_tag())
        for output in self.outputs:
            for reference in output.references if isinstance(output, (RegistryOutput, DaemonOutput)) else ():
                if reference in taken:
                    raise UsageError(
                        f"the output `{output.location}` is the name of an image that the builder is made of",
                        "name another repository or another tag",
                    )

    def refuse_index(self) -> None:
        """Raise `UsageError` where an output has no room for images of several platforms."""
        try:
            refuse_index(self.outputs)
        except InvalidValue as err:
            raise UsageError(err.summary, err.hint) from err

    def check(self, log: Log, *, deadline: Deadline = NEVER) -> None:
        """Find out before the work whether the image can go there: an error is told in seconds then.

        Raises:
            lifecycle.cnb.errors.CnbError, OSError: it cannot.
        """
        with self._connections(log, deadline=deadline) as connections:
            check_outputs(self.outputs, connections)

    def deliver(
        self,
        image: Content,
        log: Log,
        *,
        origins: Sequence[str] = (),
        deadline: Deadline = NEVER,
        before_commit: Callable[[], None] = lambda: None,
    ) -> tuple[Written, ...]:
        """Put an image or an index into every output, or into none; return them in their order.

        `origins`: locations that its layers come from.

        `before_commit` is called when all are prepared and none is changed yet; what it raises leaves them so. After that nobody asks
        for the deadline any more.

        Raises:
            lifecycle.cnb.errors.CnbError, OSError: an output cannot be written; what was there before is as it was.
        """

        def check() -> None:
            require_time(deadline, "export")

        show = _shown_by(log, image, check)
        with self._connections(log, origins=origins, deadline=deadline) as connections:

            def commit() -> None:
                check()
                before_commit()
                connections.client.forget_deadline()
                # It may have passed just before.
                check()

            written = write_outputs(image, self.outputs, connections, show=show, before_commit=commit)
        told = [one for one in written if one.location.startswith((REGISTRY_PREFIX, DAEMON_PREFIX))]
        for transfer in {id(one.transfer): one.transfer for one in told}.values():
            locations = ", ".join(one.location for one in told if one.transfer is transfer)
            log.info(f"{locations}: {describe_transfer(transfer)}")
        return written

    @contextlib.contextmanager
    def _connections(
        self, log: Log, *, origins: Sequence[str] = (), deadline: Deadline = NEVER
    ) -> Iterator[Connections]:
        client = open_client(self.env, insecure=self.insecure_registries, deadline=deadline)
        client.on_wait = log.warning
        named = [name.removeprefix(REGISTRY_PREFIX) for name in origins if name.startswith(REGISTRY_PREFIX)]
        try:
            yield Connections(
                client=client,
                env=self.env,
                deadline=deadline,
                mount_from=tuple(Reference.parse(name) for name in named),
            )
        finally:
            client.close()


def describe_transfer(transfer: Transfer) -> str:
    """What was sent and what was not, in words."""
    parts = [f"{_size(transfer.sent)} sent"]
    parts += [f"{_size(transfer.present)} there before"] if transfer.present else []
    parts += [f"{_size(transfer.mounted)} taken from another repository"] if transfer.mounted else []
    parts += [f"{transfer.retries} retries"] if transfer.retries else []
    return ", ".join(parts)


def _shown_by(
    log: Log, image: Content, check: Callable[[], None]
) -> Callable[[Output], contextlib.AbstractContextManager[Progress | None]]:
    """`check` is called again and again while files are written."""

    def show(output: Output) -> contextlib.AbstractContextManager[Progress | None]:
        if isinstance(output, RegistryOutput):
            return log.progress(f"Pushing {output.location}", size_of_blobs(image))
        if isinstance(output, DaemonOutput):
            return log.progress("Loading the image into the Docker engine", size_of_blobs(image))
        return contextlib.nullcontext(lambda _: check())

    return show


def _size(count: int) -> str:
    if count == 0:
        return "nothing"
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"
