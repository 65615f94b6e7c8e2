"""A stage served by this process, over HTTP, as its service serves it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn

from shared.service import create_app
from shared.stage import Stage


@asynccontextmanager
async def served(stage: Stage) -> AsyncIterator[str]:
    """Serve a stage with this process's settings; gives the service's base URL."""
    server = uvicorn.Server(uvicorn.Config(create_app(stage), log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving
