"""Simulates the network between one process and one server, under the fates.

A request arrives at the server at its own time, whatever becomes of its client meanwhile: also when the client was
cancelled, paused or killed, the request was sent. Only the answer needs a client that hears it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from tests.simulation.fates import Fate
from tests.simulation.process import Process

T = TypeVar("T")
TRAVEL_SECONDS = 0.002  # at most, one way
PAUSES = {Fate.PAUSE_BEFORE, Fate.PAUSE_AFTER}


class SimulatedWire:
    """Carries requests of one process to one server. `seconds_max` is the client's timeout, `lost` makes the error of a
    lost answer.
    """

    def __init__(self, process: Process, server: str, *, seconds_max: float, lost: Callable[[str], Exception]) -> None:
        self._process = process
        self._world = process.world
        self._server = server
        self._seconds_max = seconds_max
        self._lost = lost

    async def call(self, what: str, effect: Callable[[], T]) -> T:
        found: T = await self._send(what, effect)
        return found

    async def run(self, what: str, stages: Callable[[], Generator[None, None, T]]) -> T:
        found: T = await self._send(what, stages)
        return found

    async def _send(self, what: str, effect: Callable[[], Any]) -> Any:
        process, world = self._process, self._world
        if process.state == "dying":
            raise asyncio.CancelledError
        fate = world.fate(process, what)
        cut = world.cuts.get((process.name, self._server))
        if cut and fate is Fate.NONE:
            fate = cut
        travel = world.rng.random() * TRAVEL_SECONDS
        answer: asyncio.Future[Any] = world.loop.create_future()
        if fate is Fate.NONE:
            world.loop.in_world(travel, Request(self, what, fate, answer).arrive, effect)
            return await answer
        if fate is Fate.BEFORE:
            self._lose(answer, world.rng.choice((travel, self._seconds_max)))
            return await answer
        if fate is Fate.DIE_BEFORE:
            process.kill()
            return await answer
        if fate is Fate.PAUSE_BEFORE:
            travel += world.pause(process)
        elif fate is Fate.LATE:
            travel = self._seconds_max + world.late_seconds()
        elif fate is Fate.DIE_LATE:
            travel += world.late_seconds()
        request = Request(self, what, fate, answer)
        world.late += 1
        world.loop.in_world(travel, request.arrive, effect)
        if fate in {Fate.LATE, Fate.SLOW}:
            self._lose(answer, self._seconds_max)
        elif fate is Fate.DIE_LATE:
            process.kill()
        return await answer

    def _lose(self, answer: asyncio.Future[Any], delay: float) -> None:
        self._world.loop.in_world(delay, _settle, answer, None, self._lost("no answer"))


class Request:
    """Is one request, on its way to the server and at it."""

    def __init__(self, wire: SimulatedWire, what: str, fate: Fate, answer: asyncio.Future[Any]) -> None:
        self.what = what
        self._wire = wire
        self._world = wire._world
        self._process = wire._process
        self._fate = fate
        self._answer = answer
        self._stages: Generator[None, None, Any] | None = None
        self._end_at = -1
        if fate is Fate.CRASH or fate is Fate.FAIL:
            step = self._world.crash_step
            self._end_at = self._world.rng.randrange(9) if step is None else step

    def arrive(self, effect: Callable[[], Any]) -> None:
        try:
            self._world.late -= self._fate is not Fate.NONE
            found = effect()
        except Exception as error:  # the server's answer, or its refusal
            self._done(None, error)
            return
        if isinstance(found, Generator):
            self._stages = found
            self._world.requests.append(self)
            self._step()
        else:
            self._done(found, None)

    def _step(self) -> None:
        if self._stages is None:
            return  # the server died
        if self._end_at == 0 and self._fate is Fate.CRASH:
            self._world.crash(self.server)
            return
        self._end_at -= 1
        try:
            if self._end_at == -1 and self._fate is Fate.FAIL:
                self._stages.throw(self._wire._lost("it broke off"))
            next(self._stages)
        except StopIteration as stop:
            self._done(stop.value, None)
        except Exception as error:  # the server's answer, or its refusal
            self._done(None, error)
        else:
            rest = self._world.late_seconds() if self._fate is Fate.SLOW else self._world.rng.random() * 0.002
            self._world.loop.in_world(rest, self._step)

    @property
    def server(self) -> str:
        return self._wire._server

    def drop(self) -> None:
        """Breaks the request off, because the server died and the connection with it."""
        if self._stages is not None:
            self._stages.close()
            self._stages = None
            _settle(self._answer, None, self._wire._lost("connection reset"))

    def _done(self, value: Any, error: Exception | None) -> None:
        if self._stages is not None:
            self._stages = None
            self._world.requests.remove(self)
        if self._world.is_traced:
            text = repr(error or value)
            self._world.note(f"{self._process} {self.what} = {text:.100}")
        if self._fate is Fate.DIE_AFTER:
            self._process.kill()
        elif self._fate is Fate.AFTER:
            self._wire._lose(self._answer, self._world.rng.choice((0.001, self._wire._seconds_max)))
        else:
            if self._fate is Fate.PAUSE_AFTER:
                self._world.pause(self._process)
            _settle(self._answer, value, error)


def _settle(answer: asyncio.Future[Any], value: Any, error: Exception | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(value)
    else:
        answer.set_exception(error)
