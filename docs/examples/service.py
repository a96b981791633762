"""A service that builds repositories: `uvicorn service:app`, with FastAPI.

    POST /builds            {"repository": "https://host/group/project.git#main", "timeout_s": 600}
                            answers with a JSON document a line: {"build": ID}, the events as they come, and at last
                            {"image": {…}} or {"error": {…}}
    DELETE /builds/ID       cancels a build; so does who no longer reads its answer
    GET /images/DIGEST      the image, as an OCI archive, which `skopeo copy oci-archive:FILE …` and `docker load` take

Images are kept in the directory that IMAGES names; AT_ONCE says how many builds run at once, the others wait for their turn.
"""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel, Field

import pybuild

IMAGES = Path(os.environ.get("IMAGES", "images"))

at_once = asyncio.Semaphore(int(os.environ.get("AT_ONCE", "4")))
running: dict[str, asyncio.Task[pybuild.BuildReport]] = {}
app = FastAPI()


class Wanted(BaseModel):
    """What a client asks for. Not more than it may: a directory of this machine is none of its business."""

    repository: str = Field(pattern=r"^(https?|git|ssh)://")
    timeout_s: float = Field(default=600, gt=0, le=3600)


@app.post("/builds")
async def build(wanted: Wanted) -> StreamingResponse:
    """Build a repository; the answer says what happens meanwhile."""
    return StreamingResponse(_build(wanted), media_type="application/x-ndjson")


@app.delete("/builds/{number}", status_code=204)
async def cancel(number: str) -> None:
    """End a build; its answer says so when it has ended."""
    if number not in running:
        raise HTTPException(404)
    running[number].cancel()


@app.get("/images/{digest}")
async def image(digest: str) -> FileResponse:
    """Give an image away."""
    if digest not in {file.stem for file in IMAGES.glob("*.tar")}:
        raise HTTPException(404)
    return FileResponse(IMAGES / f"{digest}.tar", media_type="application/x-tar")


async def _build(wanted: Wanted) -> AsyncIterator[str]:
    number, events = uuid.uuid4().hex, asyncio.Queue[pybuild.Event | None]()
    task = running[number] = asyncio.create_task(_build_in_turn(wanted, number, events.put_nowait))
    task.add_done_callback(lambda _: events.put_nowait(None))
    try:
        yield _line({"build": number})
        while (event := await events.get()) is not None:
            yield _line(pybuild.event_to_json(event))
        report = await task
        yield _line({"image": {**dict(report.to_json()), "location": f"/images/{report.image.digest.hex}"}})
    except pybuild.CnbError as error:
        yield _line({"error": error.to_json()})
    except asyncio.CancelledError:
        if not task.cancelled():
            # The client has gone, and what it asked for is cancelled below.
            raise
        yield _line({"error": pybuild.Cancelled().to_json()})
    finally:
        task.cancel()
        del running[number]


async def _build_in_turn(wanted: Wanted, number: str, on_event: pybuild.OnEvent) -> pybuild.BuildReport:
    IMAGES.mkdir(parents=True, exist_ok=True)
    archive = IMAGES / f".{number}.part"
    request = pybuild.BuildRequest(
        repository=wanted.repository, timeout_s=wanted.timeout_s, outputs=[f"oci-archive:{archive}"]
    )
    try:
        async with at_once:
            report = await pybuild.aio.build(request, on_event=on_event)
        archive.replace(IMAGES / f"{report.image.digest.hex}.tar")
    finally:
        # It is there where the build was cancelled too late to end.
        archive.unlink(missing_ok=True)
    return report


def _line(document: object) -> str:
    return json.dumps(document) + "\n"
