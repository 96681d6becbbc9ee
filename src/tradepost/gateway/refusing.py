"""A refusal of the gateway's own, as an answer over the wire."""

from tradepost.gateway.wire import Headers, Message, Send
from tradepost.kernel.errors import Refusal
from tradepost.kernel.http import call, problem
from tradepost.kernel.http.reply import Reply


async def refuse(refusal: Refusal, scope: Message, send: Send) -> None:
    """Answer with a problem."""
    request_id = call.request_id(call.Headers(dict(scope["headers"])))
    reply: Reply = problem.reply_to(refusal, scope["path"], request_id)
    body = reply.body or b""
    extra = {"x-request-id": request_id, "x-content-type-options": "nosniff", "content-length": str(len(body))}
    headers: Headers = [(name.encode(), value.encode()) for name, value in {**reply.headers, **extra}.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
