"""Plays a scenario's commands on a stage of real members and writes down what comes out.

Owns the little language of the scenario files; each command is one line:

  stage NAMES REPLICAS [setting=value ...]   members, and those that hold the partition
  put|get|delete|incr AT KEY [VALUE]         one operation at a member, as its client sees it
  wait MS                                    let time pass for everybody
  stop NAMES / start NAMES                   kill and start processes
  cut NAMES / heal                           cut members off from the others, and mend it
  handover NAME                              a planned stop begins
  ring REPLICAS | final | abandon            change the config and show it to everybody
  show                                       roles, generations, epochs, cells of every member
  trace on|off                               tell every message from now on
"""

from __future__ import annotations

from collections.abc import Callable

from becket.core.replication.cells import Answer, Kind, Operation, Outcome
from becket.core.replication.messages import Claim, ClaimReply, Reply
from tests.unit.core.replication.stage import Envelope, Stage


class Player:
    """One scenario under way."""

    def __init__(self) -> None:
        self.stage = Stage()
        self._traced = False
        self._session = 0

    def play(self, command: str) -> str:
        """Carry out one command; its output, without a line end."""
        name, *words = command.split()
        commands: dict[str, Callable[..., str]] = {
            "stage": self._stage,
            "put": self._operate,
            "get": self._operate,
            "delete": self._operate,
            "incr": self._operate,
            "wait": self._wait,
            "stop": self._stop,
            "start": self._start,
            "cut": self._cut,
            "heal": self._heal,
            "handover": self._hand_over,
            "ring": self._ring,
            "show": self._show,
            "trace": self._trace,
        }
        self.stage.seen.clear()
        words = [name, *words] if name in ("put", "get", "delete", "incr") else words
        out = commands[name](*words)
        told = [_tell(envelope) for envelope in self.stage.seen] if self._traced else []
        return "\n".join(line for line in (*told, out) if line) or "ok"

    def _stage(self, names: str, replicas: str, *settings: str) -> str:
        pairs = (setting.split("=") for setting in settings)
        self.stage = Stage(names, replicas, **{name: int(value) for name, value in pairs})
        return ""

    def _operate(self, name: str, at: str, key: str, value: str = "") -> str:
        kind = {"put": Kind.PUT, "get": Kind.GET, "delete": Kind.DELETE}.get(name, Kind.INCREMENT)
        delta = int(value or 1) if kind is Kind.INCREMENT else 0
        payload = value.encode() if kind is Kind.PUT else b""
        operation = Operation(kind, payload, delta=delta)
        self._session += 1
        session = f"s{self._session}"
        sent = self.stage.send(at, operation, key=key.encode(), session=session)
        answer = self.stage.answers.get(sent)
        return _answered(answer) if answer is not None else "no answer yet"

    def _wait(self, ms: str) -> str:
        before = set(self.stage.answers)
        self.stage.wait(int(ms))
        late = [self.stage.answers[n] for n in sorted(set(self.stage.answers) - before)]
        return "\n".join(f"late: {_answered(answer)}" for answer in late)

    def _stop(self, names: str) -> str:
        for name in names:
            self.stage.stop(name)
        return ""

    def _start(self, names: str) -> str:
        for name in names:
            self.stage.start(name)
        return ""

    def _cut(self, names: str) -> str:
        self.stage.cut(*names)
        return ""

    def _heal(self) -> str:
        self.stage.heal()
        return ""

    def _hand_over(self, name: str) -> str:
        member = self.stage.members[name]
        left = member.hand_over(self.stage.clocks(), leaving=True)
        self.stage.wait(20)
        return f"{left} partitions still to go"

    def _ring(self, wish: str) -> str:
        config = self.stage.config
        if wish == "final":
            if not any(c.gen == config.gen for c in self.stage.certificates):
                return "not certified"
            config = config.finish()
        elif wish == "abandon":
            config = config.abandon()
        else:
            config = config.begin(tuple(wish))
        self.stage.config = config
        for name in sorted(self.stage.members):
            self.stage.offer(name, config)
        return f"generation {config.gen}: {''.join(config.old)} -> {''.join(config.target)}"

    def _show(self) -> str:
        return "\n".join(self._show_one(name) for name in sorted(self.stage.disks))

    def _show_one(self, name: str) -> str:
        disk = self.stage.disks[name]
        cells = sorted(disk.view.cells.get(0, {}).items())
        held = " ".join(
            f"{key.decode()}={'-' if cell.value is None else cell.value.decode()}"
            f"@{cell.ver.epoch.counter}{cell.ver.epoch.disk}.{cell.ver.seq}"
            for key, cell in cells
        )
        member = self.stage.members.get(name)
        if member is None:
            return f"{name} down{': ' + held if held else ''}"
        seat = member.seats.get(0)
        if seat is None:
            return f"{name} holds no partition"
        promised = seat.part.record.promised
        word = f"{name} {seat.role.value} gen {seat.part.gen} promised {promised.counter}"
        return f"{word}{promised.disk}{': ' + held if held else ''}"

    def _trace(self, wish: str) -> str:
        self._traced = wish == "on"
        return ""


def _answered(answer: Answer) -> str:
    if answer.outcome is not Outcome.OK:
        hint = f", ask {answer.coordinator}" if answer.coordinator else ""
        return f"{answer.outcome.name.lower()}: {answer.reason.name.lower()}{hint}"
    result = answer.results[0]
    shown = "" if result.value is None else f" {result.value.decode()}"
    return f"{result.verdict.name.lower()}{shown}"


def _tell(envelope: Envelope) -> str:
    sender, to, message = envelope
    name = type(message).__name__
    if isinstance(message, Claim | ClaimReply):
        return ""
    if isinstance(message, Reply):
        name = f"{message.status.name}"
    return f"  {sender} -> {to}: {name}"
