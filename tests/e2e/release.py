"""A release of Becket that is under test: installed by helm, asked by its own commands.

Owns the namespace and everything in it. Asks the Kubernetes API and the cluster's services by what
``becket chaos`` and ``becket status`` use, so these are tried here as well. Invariant: at the end
nothing of the release is left, volumes included.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from becket.api.v1 import ring_pb2
from becket.api.v1 import supervisor_pb2 as pb
from becket.cli import members
from becket.cli.calling import Services, services_at
from becket.cli.chaos import Fault, Scene, Victim
from becket.cli.chaos_pods import PodVictims
from becket.cli.members import MemberRow, StatusRow
from becket.cli.releases import Place, Pod, Release, open_release
from becket.core.errors import BecketError
from becket.core.hashing import partition_of
from becket.core.ring.ring import Ring
from tests.e2e.kube import CommandError, Kube, set_flags, split_image
from tests.e2e.waiting import until
from tests.tidy.sources import ROOT

NAME = "becket"
CHART = ROOT / "charts" / "becket"
PARTITIONS = 64
WHOLE_S = 240.0
ASK_S = 5.0

VALUES: tuple[tuple[str, object], ...] = (
    ("cluster.partitions", PARTITIONS),
    ("chaos.enabled", "true"),
    ("persistence.size", "1Gi"),
)
"""The requests are the chart's own: by them the kernel shares out a busy machine's cores."""

Found = TypeVar("Found")


class Span(NamedTuple):
    """From when to when something was so, by the wall clock, in seconds."""

    since_s: float
    until_s: float

    @property
    def seconds(self) -> float:
        """How long that was."""
        return self.until_s - self.since_s


class NotYetError(Exception):
    """What is still missing."""


class Installed:
    """One release. ``install`` it, and ``remove`` it at the end."""

    def __init__(self, kube: Kube, image: str, runner: asyncio.Runner) -> None:
        self.kube, self.image = kube, image
        self.namespace = f"becket-e2e-{secrets.token_hex(3)}"
        self.runner = runner
        self._stack = AsyncExitStack()
        self._release: Release | None = None
        self._forward: subprocess.Popen[bytes] | None = None

    # Its life

    def make_namespace(self) -> None:
        """Make the namespace; nothing that Pod Security "restricted" forbids may run in it."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        metadata = {"name": self.namespace, "labels": labels}
        self.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def helm(self, verb: str, *options: object, binary: str = "helm", wait: bool = True) -> str:
        """Install or upgrade with the values of these tests, and more of them."""
        repository, tag = split_image(self.image)
        image = (("image.repository", repository), ("image.tag", tag))
        waiting = ("--wait", "--timeout", "8m") if wait else ()
        line = (verb, NAME, CHART, "-n", self.namespace, *set_flags((*VALUES, *image)))
        return self.kube.helm(*line, *options, *waiting, binary=binary)

    def install(self, *options: object, binary: str = "helm") -> None:
        """Install it, and wait until it is whole."""
        self.make_namespace()
        self.helm("install", *options, binary=binary)
        self.wait_whole()

    def uninstall(self, *, binary: str = "helm") -> None:
        """Uninstall it; volumes and ring object stay."""
        self.kube.helm("uninstall", NAME, "-n", self.namespace, "--wait", binary=binary)
        self.forget()

    def remove(self) -> None:
        """Remove everything."""
        self.forget()
        line = ("uninstall", NAME, "-n", self.namespace, "--ignore-not-found", "--wait")
        try:
            self.kube.helm(*line)
        finally:
            self.kube.kubectl("delete", "namespace", self.namespace, "--wait", limit_s=300)

    def forget(self) -> None:
        """Close what is open to it."""
        self.runner.run(self._stack.aclose())
        self._release = None
        if self._forward is not None:
            self._forward.kill()
            self._forward.wait()
            self._forward = None

    def keep_logs(self, folder: Path) -> None:
        """Write down what its pods said, for whoever looks for the reason of a failure."""
        folder.mkdir(parents=True, exist_ok=True)
        inside = ("-n", self.namespace)
        for name, what in (
            ("objects.txt", ("get", "all,pvc,configmap,lease,pdb", "-o", "wide")),
            ("events.txt", ("get", "events", "--sort-by=.lastTimestamp")),
            ("pods.json", ("get", "pods", "-o", "json")),
        ):
            (folder / name).write_text(self._said(*inside, *what))
        for pod in self._said(*inside, "get", "pods", "-o", "name").split():
            for previous in ((), ("--previous",)):
                text = self._said(*inside, "logs", pod, *previous)
                name = pod.rpartition("/")[2] + "".join(previous)
                (folder / f"{name}.log").write_text(text)

    def _said(self, *command: object) -> str:
        try:
            return self.kube.kubectl(*command)
        except CommandError as error:
            return f"{error}\n"

    # The Kubernetes API

    @property
    def release(self) -> Release:
        """The access that the commands have."""
        if self._release is None:
            place = Place(NAME, self.namespace)
            opening = self._stack.enter_async_context(open_release(place))
            self._release = self._run(lambda: opening)
        return self._release

    def _run(self, work: Callable[[], Awaitable[Found]]) -> Found:
        async def run() -> Found:
            return await work()

        return self.runner.run(run())

    def pods(self, component: str = "") -> list[Pod]:
        """Its pods, or those of one service."""
        found = self._run(self.release.pods)
        return [pod for pod in found if component in ("", pod.component)]

    def node_of(self, pod: str) -> str:
        """Where a pod is."""
        spec = self.kube.read("-n", self.namespace, "pod", pod)["spec"]
        return str(spec.get("nodeName", ""))

    def ring(self) -> Ring | None:
        """The ring in its object."""
        return self._run(self.release.ring)

    def fetch(self, *what: object) -> dict[str, Any]:
        """An object of its namespace."""
        return self.kube.read("-n", self.namespace, *what)

    # Its services

    @property
    def target(self) -> str:
        """Where routers answer within the cluster."""
        return f"{NAME}-router.{self.namespace}.svc:7400"

    @property
    def address(self) -> str:
        """Where routers answer from here."""
        if self.kube.is_own:
            spec = self.fetch("service", f"{NAME}-router")["spec"]
            return f"{spec['clusterIP']}:7400"
        return self._forwarded()

    def _forwarded(self) -> str:
        if self._forward is None or self._forward.poll() is not None:
            line = ("kubectl", "-n", self.namespace, "port-forward", f"service/{NAME}-router")
            self._forward = subprocess.Popen(
                [*line, "17400:7400"],
                env=self.kube.environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(2)
        return "127.0.0.1:17400"

    def ask(self, question: Callable[[Services], Awaitable[Found]]) -> Found:
        """The answer of its services."""

        async def asked() -> Found:
            async with services_at(self.address, ASK_S) as services:
                return await question(services)

        return self._run(asked)

    def status(self) -> StatusRow:
        """How it is."""
        return self.ask(members.status)

    def members(self) -> list[MemberRow]:
        """Its members."""
        return self.ask(members.listed).rows

    def plan(self) -> pb.Plan:
        """The plan under way."""
        return self.ask(lambda s: s.ask(s.supervisor.GetPlan, pb.GetPlanRequest())).plan

    def becket(self, *arguments: object, limit_s: float = 120) -> str:
        """What a command of Becket says, run in a router's pod."""
        pod = next(pod.name for pod in self.pods("router") if pod.is_ready and not pod.is_going)
        line = ("-n", self.namespace, "exec", pod, "--", "becket", *arguments)
        return self.kube.kubectl(*line, limit_s=limit_s)

    def coordinating(self, keys: Sequence[str]) -> dict[str, list[str]]:
        """Which of these keys each member coordinates."""
        answer = self.ask(lambda s: s.ask(s.ring.GetRing, ring_pb2.GetRingRequest()))
        names = {each.partition: each.name for each in answer.coordinators}
        found: dict[str, list[str]] = {}
        for key in keys:
            name = names.get(partition_of(key.encode(), len(answer.ring.partitions)))
            if name is not None:
                found.setdefault(name, []).append(key)
        return found

    # Being whole, and being hurt

    def wait_whole(self, limit_s: float = WHOLE_S, *, count: int = 0) -> None:
        """Wait until every wished member is alive, every partition whole and every pod ready."""
        ignoring = (NotYetError, BecketError, CommandError)
        until("the cluster is whole", lambda: self._is_whole(count), limit_s, ignoring=ignoring)

    def _is_whole(self, count: int) -> bool:
        late = [pod.name for pod in self.pods() if not pod.is_ready or pod.is_going]
        if late:
            raise NotYetError(f"not ready: {', '.join(late)}")
        found = self.status()
        if found["whole"] != found["partitions"] or not found["partitions"]:
            raise NotYetError(f"{found['whole']} of {found['partitions']} partitions are whole")
        if found["alive_members"] != found["wished_members"]:
            alive, wished = found["alive_members"], found["wished_members"]
            raise NotYetError(f"{alive} of {wished} members are alive")
        if count and found["alive_members"] != count:
            raise NotYetError(f"{found['alive_members']} members are alive, not {count}")
        if found["plan"] is not None and found["plan"]["state"] == "running":
            raise NotYetError(f"plan {found['plan']['plan_id']} is under way")
        return True

    def scene(self) -> Scene:
        """What runs now."""
        return self._run(lambda: PodVictims(self.release).look())

    def hurt(self, fault: Fault, names: Sequence[str], *, recovery_s: float = WHOLE_S) -> Span:
        """Do it to pods of these names, all at once, and wait until the cluster is whole again."""
        victims = PodVictims(self.release)
        before = self._run(victims.look)
        hit = [before.processes[name] for name in names]
        since_s = time.time()
        self._run(lambda: victims.strike(fault, hit))

        def is_back() -> bool:
            now = self._run(victims.look)
            is_other = self._run(lambda: victims.are_back(hit, now))
            if not (is_other and now.has_all_of(before)):
                raise NotYetError("pods are not back")
            return self._is_whole(0)

        ignoring = (NotYetError, BecketError, CommandError)
        until(f"recovery from {fault}", is_back, recovery_s, ignoring=ignoring)
        return Span(since_s, time.time())

    def strike(self, fault: Fault, hit: Sequence[Victim]) -> None:
        """Do it to processes that were seen, and wait for nothing."""
        victims = PodVictims(self.release)
        self._run(victims.look)
        self._run(lambda: victims.strike(fault, hit))

    def other_image(self) -> list[str]:
        """Options that name the same image in another way, as the next version would be."""
        other = self.kube.same_image(self.image)
        repository, tag = split_image(other)
        return set_flags((("image.repository", repository), ("image.tag", tag)))

    def choose(self, component: str, rng: random.Random, keys: Sequence[str]) -> str:
        """A pod to be hit: of members one that coordinates some of the keys."""
        names = [pod.name for pod in self.pods(component) if pod.is_ready and not pod.is_going]
        if component == "storage":
            held = self.coordinating(keys)
            names = [name for name in names if name in held] or names
        return rng.choice(sorted(names))

    def signal_here(self, pod: str, module: str, number: int) -> None:
        """Signal a process by its id on this machine, which needs no API server."""
        os.kill(self.kube.process_of(pod, module), number)
