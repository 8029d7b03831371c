"""A notebook run cell by cell in a kernel of a user's server, through the hub's proxy, as a browser does."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass, field
from typing import Any

import aiohttp


@dataclass
class Cell:
    """What came of one code cell."""

    id: str
    outputs: list[dict[str, Any]] = field(default_factory=list)

    def text(self, stream: str = "stdout") -> str:
        return "".join(
            output["content"]["text"]
            for output in self.outputs
            if output["msg_type"] == "stream" and output["content"]["name"] == stream
        )

    def error(self) -> str:
        return "\n".join(
            "\n".join(output["content"]["traceback"])
            for output in self.outputs
            if output["msg_type"] == "error"
        )

    def has(self, mimetype: str) -> bool:
        return any(mimetype in output["content"].get("data", {}) for output in self.outputs)


WHERE_IT_WAITS = """
import asyncio, faulthandler, gc, sys, tempfile, traceback
for loop in [o for o in gc.get_objects() if isinstance(o, asyncio.AbstractEventLoop) and o.is_running()]:
    for task in asyncio.all_tasks(loop):
        print("task", task.get_coro())
        for frame in task.get_stack(limit=3):
            traceback.print_stack(frame, limit=1, file=sys.stdout)
with tempfile.TemporaryFile("w+") as file:
    faulthandler.dump_traceback(file)
    file.seek(0)
    print(file.read())
"""


async def run_notebook(server: str, token: str, path: str, cell_seconds: float = 300) -> list[Cell]:
    """Run every code cell of a notebook in the user's home, stop at the first error, and end the kernel."""
    async with aiohttp.ClientSession(headers={"Authorization": f"token {token}"}) as session:
        async with session.get(f"{server}api/contents/{path}") as answer:
            assert answer.status == 200, await answer.text()
            notebook = (await answer.json())["content"]
        body = {"name": notebook["metadata"]["kernelspec"]["name"], "path": path}
        async with session.post(f"{server}api/kernels", json=body) as answer:
            assert answer.status == 201, await answer.text()
            kernel = (await answer.json())["id"]
        cells = []
        try:
            async with session.ws_connect(
                f"{server}api/kernels/{kernel}/channels", max_msg_size=0
            ) as channel:
                for cell in notebook["cells"]:
                    if cell["cell_type"] == "code":
                        running = asyncio.create_task(_run_cell(channel, cell["id"], cell["source"]))
                        if not (await asyncio.wait({running}, timeout=cell_seconds))[0]:
                            # Where it waits is worth more than that it does.
                            async with session.post(f"{server}api/kernels/{kernel}/interrupt"):
                                await asyncio.wait({running}, timeout=30)
                            where = running.result().error() if running.done() else "it cannot be interrupted"
                            running.cancel()
                            async with asyncio.timeout(30):
                                where += (await _run_cell(channel, "", WHERE_IT_WAITS)).text()
                            raise AssertionError(f"cell {cell['id']} took over {cell_seconds} s: {where}")
                        cells.append(running.result())
                        if cells[-1].error():
                            break
        finally:
            async with session.delete(f"{server}api/kernels/{kernel}") as answer:
                assert answer.status == 204, await answer.text()
        return cells


async def run_code(server: str, token: str, kernel: str, source: str) -> Cell:
    """Run a piece of code in a kernel that is there."""
    async with (
        asyncio.timeout(120),
        aiohttp.ClientSession(headers={"Authorization": f"token {token}"}) as session,
        session.ws_connect(f"{server}api/kernels/{kernel}/channels", max_msg_size=0) as channel,
    ):
        return await _run_cell(channel, "", source)


async def _run_cell(channel: aiohttp.ClientWebSocketResponse, cell_id: str, source: str) -> Cell:
    cell = Cell(cell_id)
    request = uuid.uuid4().hex
    header = {
        "msg_id": request,
        "msg_type": "execute_request",
        "username": "",
        "session": "",
        "version": "5.3",
    }
    content = {"code": source, "silent": False, "store_history": True, "allow_stdin": False}
    await channel.send_json(
        {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
    )
    replied = idle = False
    while not (replied and idle):
        frame = await channel.receive()
        assert frame.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), frame
        if frame.type is aiohttp.WSMsgType.BINARY:
            continue  # a widget's state with its buffers
        message = json.loads(frame.data)
        if message["parent_header"].get("msg_id") != request:
            continue
        kind = message["msg_type"]
        if kind in ("stream", "display_data", "execute_result", "error"):
            cell.outputs.append(message)
        replied |= kind == "execute_reply"
        idle |= kind == "status" and message["content"]["execution_state"] == "idle"
    return cell
