"""Stand-ins for the hub and for Amazon's STS: `python -m tests.bench.vouching PORT [ENDPOINT IAM_ENDPOINT]`.

With a VersityGW's two addresses the hub describes that as the store. STS takes as long as from a machine of
the same region, and says how often it was asked for whom.
"""

from __future__ import annotations

import asyncio
import collections
import datetime
import gc
import sys
from typing import Any

from aiohttp import web

from scalablehub.description.sharing import share
from tests.descriptions import described

STS_SECONDS = 0.05
STARTED = "2026-11-26T01:00:00.000000Z"
_ANSWER = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<Credentials><AccessKeyId>ASIA{number:016d}</AccessKeyId><SecretAccessKey>{number:040d}</SecretAccessKey>
<SessionToken>{number:0500d}</SessionToken><Expiration>{end}</Expiration></Credentials>
<AssumedRoleUser><AssumedRoleId>AROA:x</AssumedRoleId><Arn>arn:aws:sts::1:assumed-role/r/x</Arn></AssumedRoleUser>
</AssumeRoleResult></AssumeRoleResponse>"""


def application(port: int, versity: tuple[str, str] | None = None) -> web.Application:
    """Return both servers as one, which is to listen at a port.

    Args:
        port: of loopback.
        versity: a store's address and that of its IAM, in place of Amazon's.
    """
    asked: collections.Counter[str] = collections.Counter()
    buckets: dict[str, dict[str, Any]] = {
        "scratch": {"url": "s3://scratch", "access": "write", "per_user": True, "variable": "SCRATCH_BUCKET"},
        "shared": {"url": "s3://shared"},
    }
    role = "arn:aws:iam::123456789012:role/buckets"
    s3 = {"backend": "sts", "role": role, "iam_endpoint": f"http://127.0.0.1:{port}"}
    if versity is not None:
        s3 = {"backend": "versity", "endpoint": versity[0], "iam_endpoint": versity[1]}
        for bucket in buckets.values():
            bucket["endpoint"] = versity[0]
    shared = share(described(buckets=buckets, credentials={"s3": s3}))
    server = {"name": "", "started": STARTED, "ready": True, "pending": None, "stopped": False}

    async def description(_request: web.Request) -> web.Response:
        answer = web.Response(body=shared.body, content_type="application/json")
        answer.etag = shared.hash
        return answer

    async def user(request: web.Request) -> web.Response:
        return web.json_response(
            {"name": request.match_info["name"], "groups": ["research"], "servers": {"": server}}
        )

    async def assume_role(request: web.Request) -> web.Response:
        form = await request.post()
        await asyncio.sleep(STS_SECONDS)
        asked[str(form["RoleSessionName"])] += 1
        end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
        words = _ANSWER.format(number=asked.total(), end=end.strftime("%Y-%m-%dT%H:%M:%SZ"))
        return web.Response(text=words, content_type="text/xml")

    async def counts(_request: web.Request) -> web.Response:
        return web.json_response(asked)

    app = web.Application()
    app.router.add_get("/hub/api/scalablehub/description", description)
    app.router.add_get("/hub/api/users/{name}", user)
    app.router.add_post("/", assume_role)
    app.router.add_get("/", counts)
    return app


if __name__ == "__main__":
    gc.disable()  # what stands behind should not halt
    port = int(sys.argv[1])
    store = (sys.argv[2], sys.argv[3]) if sys.argv[2:] else None
    web.run_app(application(port, store), host="127.0.0.1", port=port, print=None, access_log=None)
