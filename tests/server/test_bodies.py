"""Bodies under way: how many, how much of them, and whose makes room."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.event_loops import run_coroutine
from webhook_app.server import bodies
from webhook_app.server.asgi import Message
from webhook_app.server.bodies import Bodies, BodyTooLarge
from webhook_app.server.responses import RequestError


class Sender:
    """A client whose body comes when it is told to."""

    def __init__(self, under_way: Bodies, client: str | None = "192.0.2.1", limit: int = 1000) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self.read = asyncio.create_task(
            under_way.read(self._messages.get, limit=limit, announced=None, awaits_continue=False, client=client)
        )

    async def sends(self, part: bytes, *, is_more: bool = True) -> None:
        self._messages.put_nowait({"type": "http.request", "body": part, "more_body": is_more})
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def was_displaced(self) -> bool:
        """Or goes on."""
        for _ in range(5):
            await asyncio.sleep(0)
        if not self.read.done():
            return False
        error = self.read.exception()
        assert isinstance(error, RequestError)
        assert (error.status, error.code, error.closes) == (503, "overload", True)
        return True

    async def ends(self) -> bytes:
        await self.sends(b".", is_more=False)
        return await self.read


async def senders(under_way: Bodies, *clients: str | None) -> list[Sender]:
    begun = [Sender(under_way, client) for client in clients]
    await asyncio.sleep(0)
    return begun


def test_one_too_many_displaces_the_oldest_of_all() -> None:
    async def run() -> None:
        under_way = Bodies(seconds=30, most=3, most_per_client=10)
        first, second, third = await senders(under_way, "a", "b", None)
        assert len(under_way) == 3
        (fourth,) = await senders(under_way, "c")
        assert [await each.was_displaced() for each in (first, second, third, fourth)] == [True, False, False, False]
        assert [await each.ends() for each in (second, third, fourth)] == [b"."] * 3
        assert len(under_way) == 0

    run_coroutine(run())


def test_one_too_many_of_a_client_displaces_its_own_oldest() -> None:
    async def run() -> None:
        under_way = Bodies(seconds=30, most=100, most_per_client=2)
        other, first, second = await senders(under_way, "b", "a", "a")
        await senders(under_way, None, None, None)
        (third,) = await senders(under_way, "a")
        assert [await each.was_displaced() for each in (other, first, second, third)] == [False, True, False, False]
        await second.ends()
        (fourth,) = await senders(under_way, "a")
        assert not await third.was_displaced()
        assert not await fourth.was_displaced()

    run_coroutine(run())


def test_too_much_at_once_displaces_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MOST_BYTES", 1000)

    async def run() -> None:
        under_way = Bodies(seconds=30, most=100, most_per_client=100)
        first, second, third = await senders(under_way, "a", "b", "c")
        for sender in (first, second):
            await sender.sends(b"x" * 500)
        assert not await first.was_displaced()
        await third.sends(b"x")
        assert [await each.was_displaced() for each in (first, second, third)] == [True, False, False]
        assert await second.ends() == b"x" * 500 + b"."
        await third.sends(b"x" * 998)
        assert not await third.was_displaced(), "what has ended counts no more"

    run_coroutine(run())


def test_body_beyond_its_limit_is_read_for_a_while_and_then_broken_off() -> None:
    async def run() -> None:
        under_way = Bodies(seconds=30, most=10, most_per_client=10)
        just, beyond, far = Sender(under_way), Sender(under_way), Sender(under_way)
        await just.sends(b"x" * 999)
        assert len(await just.ends()) == 1000
        await beyond.sends(b"x" * 1000)
        with pytest.raises(BodyTooLarge) as large:
            await beyond.ends()
        assert large.value.size == 1001
        await far.sends(b"x" * 1_000_000)
        assert isinstance(far.read.exception(), BodyTooLarge), "its end is not waited for"

    run_coroutine(run())


def test_body_that_is_late_is_a_timeout() -> None:
    async def run() -> None:
        late = Sender(Bodies(seconds=0.01, most=10, most_per_client=10))
        await late.sends(b"{")
        with pytest.raises(RequestError) as refused:
            await late.read
        assert (refused.value.status, refused.value.code, refused.value.closes) == (408, "timeout", True)

    run_coroutine(run())
