"""The pods of a release, and how they are hurt.

Owns how a signal reaches a process in a pod. ``kill -9 1`` and ``kill -STOP 1`` from inside a pod
do nothing, so the pods must share their process namespace (``chaos.enabled`` of the chart); the
command that runs in the pod then finds the process of Becket by its module. Must not judge what is
dangerous (``chaos``). Invariant: who is paused goes on by itself, even if nobody is left here.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Sequence

from becket.cli.chaos import Fault, Scene, Victim
from becket.cli.exits import NotRunningError, UsageError
from becket.cli.releases import CRASH_LOOP, Pod, RefusedError, Release
from becket.core.errors import BecketError, NotFoundError
from becket.core.ring.members import MemberState

_FOUND = "becket-process"

# Says whom it found before it sends the signal: when the process of a container ends, all others
# in the container are killed, this one included.
_PROGRAM = f"""
import os, sys, time
module, number, pause_s = "becket." + sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
found = []
for each in os.listdir("/proc"):
    if each.isdigit() and int(each) != os.getpid():
        try:
            words = open(f"/proc/{{each}}/cmdline", "rb").read().split(b"\\0")
        except OSError:
            continue
        if b"-m" in words and module.encode() in words:
            found.append(int(each))
for pid in found:
    os.kill(pid, 0)
    print("{_FOUND}", pid, flush=True)
if found and pause_s:
    if os.fork() == 0:
        os.setsid()
        for stream in (0, 1, 2):
            os.close(stream)
        for pid in found:
            os.kill(pid, number)
        time.sleep(pause_s)
        for pid in found:
            os.kill(pid, {int(signal.SIGCONT)})
        os._exit(0)
else:
    for pid in found:
        os.kill(pid, number)
"""


class PodVictims:
    """The processes of Becket in the pods of one release."""

    def __init__(self, release: Release) -> None:
        self._release = release
        self._pods: dict[str, Pod] = {}

    async def look(self) -> Scene:
        """What runs now. A member's disk is the one that the ring has under its pod's name."""
        pods, ring = await asyncio.gather(self._release.pods(), self._release.ring())
        if not pods:
            where = f"namespace {self._release.namespace}"
            raise NotRunningError(f"release {self._release.name} has no pods in {where}")
        self._pods = {pod.name: pod for pod in pods}
        running = [pod for pod in pods if pod.container_id and not pod.is_going]
        names = {pod.name for pod in running}
        members = [] if ring is None else [m for m in ring.members if m.name in names]
        return Scene(
            {pod.name: Victim(pod.name, pod.component, pod.container_id) for pod in running},
            frozenset(pod.name for pod in running if not pod.is_ready),
            {
                m.name: m.disk
                for m in members
                if m.name in names and m.state is not MemberState.GONE
            },
            ring,
        )

    async def strike(self, fault: Fault, victims: Sequence[Victim]) -> None:
        """Kill the processes, or delete the pods, all at once."""
        pods = [self._pod(victim) for victim in victims]
        match fault:
            case Fault.KILL:
                blows = [self._signal(pod, signal.SIGKILL) for pod in pods]
            case Fault.DELETE:
                blows = [self._release.delete(pod) for pod in pods]
            case Fault.FORCE:
                blows = [self._release.delete(pod, grace_s=0) for pod in pods]
            case _:
                raise UsageError(f"{fault.value} is not done to pods")
        await asyncio.gather(*blows)

    async def pause(self, victim: Victim, seconds: float) -> None:
        """Let a process stand still for so long; it is let go on from within the pod."""
        pod = self._pod(victim)
        await self._signal(pod, signal.SIGSTOP, pause_s=seconds)
        try:
            await asyncio.sleep(seconds)
        finally:
            # It may be another container by now; and it goes on by itself.
            with contextlib.suppress(BecketError):
                await self._signal(pod, signal.SIGCONT)

    async def are_back(self, victims: Sequence[Victim], now: Scene) -> bool:
        """Whether other containers run in their places.

        A pod that was killed often is kept waiting by its kubelet, up to minutes: it is deleted,
        and its successor starts at once.
        """
        kept = [self._pods[v.name] for v in victims if v.name in self._pods]
        for pod in kept:
            if pod.waits_for == CRASH_LOOP and not pod.is_going:
                await self._release.delete(pod, grace_s=0)
        present = {each.identity for each in now.processes.values()}
        return not any(victim.identity in present for victim in victims)

    def _pod(self, victim: Victim) -> Pod:
        pod = self._pods.get(victim.name)
        if pod is None:
            raise NotFoundError(f"there is no pod {victim.name} any more")
        return pod

    async def _signal(self, pod: Pod, number: signal.Signals, *, pause_s: float = 0.0) -> None:
        if not pod.shares_processes:
            raise UsageError(
                f"{pod.name} does not share its process namespace, so its process cannot be"
                f" signalled from inside: install the chart with chaos.enabled=true"
            )
        command = ("python3", "-c", _PROGRAM, pod.component, str(int(number)), str(pause_s))
        said = await self._release.run(pod, command)
        if _FOUND not in said:
            problem = said.strip().rpartition("\n")[2] or f"no process of becket.{pod.component}"
            raise RefusedError(f"{pod.name} was not sent {number.name}: {problem}")
