"""The schedule: which actor runs next, and at which virtual time. Nothing here waits, and exactly one actor runs.

An actor is a greenlet. It runs until it pauses; each pause is a step, at which it may be made to die or to stand still.
Times are seconds since the simulation began.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from greenlet import getcurrent, greenlet

#: Steps that a trace keeps, the last ones.
_MOST_TRACED = 4000


class Died(BaseException):
    """Thrown into an actor at a step: its process is gone, as after `kill -9`. No `except Exception` takes it."""


class TooLong(Exception):
    """More steps than a simulation may have."""


@dataclass(eq=False)
class Actor:
    """`role` names it in plans, whatever process has taken its place; `leader` is the actor whose process it is in."""

    name: str
    role: str
    rng: random.Random
    greenlet: greenlet
    leader: Actor | None = None
    is_dead: bool = False
    pace: float = 1.0
    """How many times longer than normal each of its steps takes."""
    is_listening: bool = False
    """Whether it waits for one of its threads, so that an answer may wake it."""
    frozen_until: float = 0.0
    turn: int = 0
    """Counts what was planned for it; only the last plan holds."""
    followers: list[Actor] = field(default_factory=list)
    on_end: Callable[[], None] = lambda: None

    @property
    def process(self) -> Actor:
        return self.leader or self


@dataclass(frozen=True)
class Trouble:
    """At the `step`-th step of `role` its process dies, or (`seconds` > 0) stands still for so long."""

    role: str
    step: int
    seconds: float = 0.0


class Schedule:
    """Give it work with `spawn` and `call_at`; `run_until` lets time pass."""

    def __init__(self, seed: object, troubles: list[Trouble] | None = None) -> None:
        self.now = 0.0
        self.steps = 0
        self.most_steps = 1_000_000
        self.trace: deque[tuple[float, str, str]] = deque(maxlen=_MOST_TRACED)
        self.on_death: Callable[[Actor], None] = lambda _actor: None
        self.on_freeze: Callable[[Actor, float], None] = lambda _actor, _seconds: None
        self._seed = seed
        self._hub = getcurrent()
        self._order = itertools.count()
        self._heap: list[tuple[float, int, Actor | None, int, Callable[[], None] | None]] = []
        self._counts: Counter[str] = Counter()
        self._troubles = {(one.role, one.step): one for one in troubles or ()}
        self._current: Actor | None = None
        self._living: set[Actor] = set()
        #: Numbers the threads, so that each has a name of its own.
        self.numbers = itertools.count(1)

    @property
    def current(self) -> Actor:
        assert self._current is not None, "no actor runs"
        return self._current

    @property
    def is_inside(self) -> bool:
        """Whether an actor runs, and not what sets the simulation up or looks at it."""
        return self._current is not None

    def spawn(
        self, name: str, work: Callable[[], None], *, role: str, delay: float = 0.0, leader: Actor | None = None
    ) -> Actor:
        """A new actor that begins after `delay` seconds. One with a `leader` dies with it."""
        rng = random.Random(f"{self._seed}/{name}")
        actor = Actor(name, role, rng, greenlet(lambda: self._live(actor, work), self._hub), leader)
        if leader is not None:
            leader.followers.append(actor)
            actor.pace = leader.pace
        self._living.add(actor)
        self._plan(actor, delay)
        return actor

    def call_at(self, time: float, action: Callable[[], None]) -> None:
        """Something that happens by itself at that time, between two steps. It must not pause."""
        heapq.heappush(self._heap, (max(time, self.now), next(self._order), None, 0, action))

    def step(self, what: str, seconds: float) -> None:
        """The current actor pauses for `seconds`, times its pace. Raises Died."""
        self._note_trouble(what)
        self.sleep(seconds * self.current.process.pace)

    def sleep(self, seconds: float) -> None:
        """The current actor pauses for exactly so long, or until `wake`; that is no step. Raises Died."""
        actor = self.current
        if actor.is_dead:
            raise Died
        self._plan(actor, seconds)
        self._current = None
        self._hub.switch()
        self._current = actor
        if actor.is_dead:
            raise Died

    def wake(self, actor: Actor, delay: float = 0.0) -> None:
        """Ends an actor's sleep early."""
        if not actor.is_dead:
            self._plan(actor, delay)

    def kill(self, actor: Actor) -> None:
        """Ends the process that the actor is in, from outside of it."""
        process = actor.process
        for one in (*process.followers, process):
            if not one.is_dead:
                one.is_dead = True
                self._living.discard(one)
                if one is not self._current:
                    if one.greenlet:
                        self._throw(one)
                    else:
                        one.on_end()
        self.on_death(process)

    def note(self, what: str) -> None:
        """A line of the trace."""
        name = self._current.name if self._current else "-"
        self.trace.append((self.now, name, what))

    def run_until(self, end: float) -> None:
        """Lets everything happen that is planned before `end`."""
        while self._heap and self._heap[0][0] <= end and self.steps < self.most_steps:
            time, _, actor, turn, action = heapq.heappop(self._heap)
            if actor is not None and (actor.is_dead or turn != actor.turn):
                continue
            if actor is not None and actor.process.frozen_until > time:
                heapq.heappush(self._heap, (actor.process.frozen_until, next(self._order), actor, turn, None))
                continue
            self.now = max(self.now, time)
            if action is not None:
                action()
            elif actor is not None:
                self._current = actor
                actor.greenlet.switch()
                self._current = None
        if self.steps >= self.most_steps:
            raise TooLong(f"not ended after {self.steps:,} steps")
        self.now = max(self.now, end)

    def close(self) -> None:
        """Ends all actors."""
        self.on_death = lambda _actor: None
        for actor in list(self._living):
            actor.is_dead = True
            if actor.greenlet:
                self._throw(actor)

    def _live(self, actor: Actor, work: Callable[[], None]) -> None:
        self._current = actor
        try:
            if not actor.is_dead:
                work()
        except Died:
            pass
        finally:
            self._living.discard(actor)
            actor.is_dead = True
            if actor.leader is not None and actor in actor.leader.followers:
                actor.leader.followers.remove(actor)
            actor.on_end()
            self._current = None

    def _plan(self, actor: Actor, delay: float) -> None:
        actor.turn += 1
        heapq.heappush(self._heap, (self.now + delay, next(self._order), actor, actor.turn, None))

    def _note_trouble(self, what: str) -> None:
        actor = self.current
        if actor.is_dead:
            raise Died
        self.steps += 1
        role = actor.process.role
        self._counts[role] += 1
        self.trace.append((self.now, actor.name, what))
        trouble = self._troubles.get((role, self._counts[role]))
        if trouble is None:
            return
        if trouble.seconds:
            self.note(f"stands still for {trouble.seconds:.1f} s")
            self.on_freeze(actor.process, trouble.seconds)
            actor.process.frozen_until = self.now + trouble.seconds
            self.sleep(0.0)
        else:
            self.die()

    def die(self) -> None:
        """The current actor's process ends here. Raises Died."""
        self.note("dies")
        self.kill(self.current)
        raise Died

    def _throw(self, actor: Actor) -> None:
        """Only into one that has begun and not ended."""
        before, self._current = self._current, actor
        actor.greenlet.parent = getcurrent()
        try:
            actor.greenlet.throw(Died)
        finally:
            self._current = before
