"""One call on its way to an instance and back: what can go wrong, when, and what the client is told then."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import aiohttp
import structlog

from tradepost.gateway.forwarding import Body, ClientLeft, Forwarded, answer_headers
from tradepost.gateway.instances import RETRY_AFTER_S, Instance, Outcome
from tradepost.gateway.pool import CROWDED
from tradepost.gateway.wire import Message, Receive, Send
from tradepost.kernel.errors import Refusal, Unavailable, UpstreamFailed, UpstreamLate

EVENTS: Final = "text/event-stream"

logger = structlog.get_logger()


class NotConnected(Exception):
    """Nothing was sent."""


class Failed(Exception):
    """Something may have been done, but there is no answer; `refusal` is what the client is told."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.detail)
        self.refusal = refusal


class Exchange:
    """Of one call. Its end is the answer's, the deadline, or the client's leaving, whichever comes first."""

    def __init__(
        self, call: Forwarded, body: Body, receive: Receive, send: Send, session: aiohttp.ClientSession
    ) -> None:
        self.call, self._body, self._send, self._session = call, body, send, session
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        deadline_s = call.idle_s if call.deadline_s is None else call.deadline_s
        self._clock = asyncio.timeout(deadline_s)
        self._left = False
        self._begun = False  # the answer, on its way to the client
        self._is_endless = False
        self._watching: asyncio.Task[None] | None = None

    @property
    def may_repeat(self) -> bool:
        """Whether the call can be sent again as it was, without changing anything twice."""
        return self.call.is_repeatable and self._body.is_whole and not self._body.is_consumed and not self._begun

    async def run(self, attempts: Callable[["Exchange"], Awaitable[None]]) -> None:
        """Errors: ClientLeft; UpstreamLate and the errors of `attempts`, while the answer has not begun."""
        try:
            async with self._clock:
                self._watch()
                await attempts(self)
        except TimeoutError:
            await self._give_up()
        finally:
            self._stop_watching()

    async def attempt(self, instance: Instance) -> None:
        """Send it there, and the answer on to the client. Errors: NotConnected, Failed, Unavailable; ClientLeft."""
        outcome = Outcome.LEFT
        instance.enter(is_stream=self.call.is_stream)
        try:
            await self._ask(instance)
            outcome = Outcome.ANSWERED
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            if isinstance(error, OSError) and error.errno in CROWDED:
                raise Unavailable("Too many requests are under way.", code="overloaded") from error
            outcome = Outcome.NOT_CONNECTED
            raise NotConnected from error
        except aiohttp.ClientError as error:
            if self._left or _is_clients(error):
                raise ClientLeft from error
            outcome = Outcome.CUT if self._begun else Outcome.BROKEN
            self._break_off(instance, error)
        except asyncio.CancelledError:
            outcome = Outcome.LATE if self._clock.expired() and not self._left else Outcome.LEFT
            raise
        finally:
            instance.leave(outcome, is_stream=self.call.is_stream)

    async def _ask(self, instance: Instance) -> None:
        call, body = self.call, self._body
        headers = call.headers
        if not body.is_whole and call.length is not None:
            headers = headers.copy()
            headers["content-length"] = str(call.length)
        async with self._session.request(
            call.scope["method"],
            call.url(instance.url),
            headers=headers,
            data=body.to_send(self._moved),
            allow_redirects=False,
            expect100=call.expects and not body.is_whole,
        ) as response:
            await self._answer(response)
            if not body.is_whole:
                response.close()  # it was answered early

    async def _answer(self, response: aiohttp.ClientResponse) -> None:
        headers = answer_headers(response)
        self._begun = True
        self._is_endless = self.call.is_stream and response.content_type == EVENTS
        await self._send({"type": "http.response.start", "status": response.status, "headers": headers})
        content, more = response.content, True
        while more:
            piece = await content.readany()
            more = not content.at_eof()
            if more and not piece:
                continue
            self._moved()
            if not more:
                self._stop_watching()  # the server says that the client is gone once it has the end
            await self._send({"type": "http.response.body", "body": piece, "more_body": more})

    def _moved(self) -> None:
        """Put the end of patience off; once the body is whole, watch for the client from here on."""
        if self.call.idle_s is not None:
            self._end_after(self.call.idle_s)
        self._watch()

    def _watch(self) -> None:
        if self._watching is None and self._body.is_whole:
            self._watching = asyncio.create_task(self._wait_for_leaving())

    async def _wait_for_leaving(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left = True
        self._end_after(0)

    def _stop_watching(self) -> None:
        if self._watching is not None:
            self._watching.cancel()

    def _end_after(self, seconds: float) -> None:
        with suppress(RuntimeError):  # it has ended already
            self._clock.reschedule(self._loop.time() + seconds)

    def _break_off(self, instance: Instance, error: aiohttp.ClientError) -> None:
        """An answer that has begun is left without its end, at which the server closes the connection."""
        why = str(error) or type(error).__name__
        logger.warning("upstream_failed", instance=instance.url, path=self.call.scope["path"], why=why)
        if not self._begun:
            raise Failed(UpstreamFailed("The service did not answer. It may have done what was asked.")) from error

    async def _give_up(self) -> None:
        """The deadline has passed, or the client left, which for a stream may be our own stop: its end is its end."""
        if not self._begun and not self._left:
            raise UpstreamLate("The service took too long. It may yet do what was asked.", retry_after_s=RETRY_AFTER_S)
        if self._left and self._begun and self._is_endless:
            end: Message = {"type": "http.response.body", "body": b"", "more_body": False}
            await self._send(end)


def _is_clients(error: BaseException | None) -> bool:
    """Whether sending the body failed because the client stopped sending it."""
    while error is not None:
        if isinstance(error, ClientLeft):
            return True
        error = error.__cause__ or error.__context__
    return False
