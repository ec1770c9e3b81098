"""Mutants of quorums, copying, generations and purges (PROTOCOL R1-R21)."""

from __future__ import annotations

from tests.simulation.mutation import Change, Mutant, core, shell

_WRITE = "not in round_.acks or not c.config.quorum(round_.acks):"
_TOUCH = "if not self._c.config.quorum(round_.replies.keys()) and"
_HOLD = "if config.quorum(holders) and own in holders:"
_YES = "if config.quorum(candidature.yes):"
_PROMISED = "if config.quorum(promised) and self._ctx.disk in promised:"
_JOIN = "record = self._cleared(part, record, since)  # R4"
_LEAVE = "record = self._cleared(part, record, None)  # R5"
_PURGE_JOINT = core(
    "coordinator",
    "self.copying.tick()\n        else:",
    "self.copying.tick()\n            self.purging.tick()\n        else:",
)
_SWEEP_JOINT = core("coordinator", "self.copying is None and self.purging", "self.purging")
_PURGE = "and not config.is_joint\n            and replies.keys() >= config.member_set"

TAKE_OVER = (
    Mutant(
        "accept-old-only",
        "R14",
        "majority of new for Accept in joint",
        (core("keys", _WRITE, _WRITE.replace("quorum", "old_majority")),),
        schedule="write_that_new_lacks",
    ),
    Mutant(
        "prepare-new-only",
        "R12",
        "joint Prepare asks no majority of old",
        (
            core("standing", _YES, _YES.replace("quorum", "new_majority")),
            core("standing", _PROMISED, _PROMISED.replace("quorum", "new_majority")),
        ),
        schedule="newcomers_prepare_alone",
    ),
    Mutant(
        "prepare-old-only",
        "R12",
        "joint Prepare asks no majority of new",
        (
            core("standing", _YES, _YES.replace("quorum", "old_majority")),
            core("standing", _PROMISED, _PROMISED.replace("quorum", "old_majority")),
        ),
        harmless=True,
    ),
    Mutant(
        "touch-new-only",
        "R13",
        "first touch asks no majority of old",
        (
            core("keys", _TOUCH, _TOUCH.replace("quorum", "new_majority")),
            core("touch", _HOLD, _HOLD.replace("quorum", "new_majority")),
        ),
    ),
    Mutant(
        "touch-old-only",
        "R13",
        "first touch asks no majority of new",
        (
            core("keys", _TOUCH, _TOUCH.replace("quorum", "old_majority")),
            core("touch", _HOLD, _HOLD.replace("quorum", "old_majority")),
        ),
        schedule="half_written_at_the_final_swap",
    ),
    Mutant(
        "touch-union",
        "R13",
        "first touch asks a majority of the union, not both majorities",
        (
            core("keys", _TOUCH, "if 2 * len(round_.replies) <= len(self._c.config.members) and"),
            core(
                "touch",
                _HOLD,
                "if 2 * len(holders) > len(config.members) and own in holders:",
            ),
        ),
        schedule="half_written_at_the_final_swap",
    ),
    Mutant(
        "no-first-touch",
        "R13",
        "the coordinator's own cell is taken for the chosen one",
        (core("keys", "if self._c.levelling.is_settled(key):", "if True:"),),
    ),
    Mutant(
        "no-rewrite",
        "R13",
        "the highest cell of a quorum is taken without writing it again",
        (core("touch", _HOLD, "if not damaged:"),),
    ),
    Mutant(
        "touch-no-promise",
        "R8",
        "a first-touch answer does not raise the promise",
        (
            core(
                "replica",
                "if message.epoch > part.record.promised:\n            self._promise(part",
                "if message.epoch > part.record.promised and not isinstance(message, ReadKey):\n"
                "            self._promise(part",
            ),
        ),
        schedule="first_touch_without_promise",
    ),
    Mutant(
        "unknown-as-failed",
        "R15",
        "a write given up after its first Accept ends as no",
        (core("context", "Outcome.UNKNOWN, ()", "Outcome.NO, ()"),),
    ),
    Mutant(
        "keep-fresh",
        "R15",
        "a key stays fresh after a given-up write",
        (
            core(
                "keys",
                "if round_.step is Step.WRITE:\n            state.fresh = False",
                "if False:\n            state.fresh = False",
            ),
        ),
        harmless=True,
    ),
    Mutant(
        "no-would-promise",
        "R11a",
        "a silent member prepares without asking, and trusts its clock after a pause",
        (
            core(
                "standing",
                "self._ask(seat, candidature, config)",
                "seat.advance(Event.AGREED)\n"
                "        self._prepare(seat, candidature, config.members)",
            ),
            core(
                "member",
                "if self._ctx.now_us - before > self._settings.lease_us:",
                "if False:",
            ),
        ),
    ),
)

RING = (
    Mutant(
        "no-certificate",
        "R19",
        "the final compare-and-swap is asked for before the copy is complete",
        (core("copying", "self._phase = Phase.KEYS", "self._phase = Phase.CERTIFIED"),),
    ),
    Mutant(
        "copy-no-tombstones",
        "R18",
        "tombstones are not copied",
        (
            core(
                "replica",
                "if not wanted or",
                "if not wanted and (head is None or not head.is_tombstone) or",
            ),
        ),
        schedule="retry_after_a_change",
    ),
    Mutant(
        "copy-no-floor",
        "R19",
        "newcomers do not take the floor",
        (
            core(
                "copying",
                "self._floor_id, None, self._floor)",
                "self._floor_id, None, ZERO)",
            ),
        ),
        schedule="retry_after_a_purge_and_a_change",
    ),
    Mutant(
        "copy-no-records",
        "R18",
        "operation records are not copied",
        (
            core(
                "keys",
                "CopyIn(*head, round_.cell)",
                "CopyIn(*head, round_.cell._replace(records=()) if self._c.config.is_joint "
                "else round_.cell)",
            ),
            core(
                "copying",
                "cells.append((key, cell))",
                "cells.append((key, cell._replace(records=())))",
            ),
        ),
        schedule="retry_after_a_change",
    ),
    Mutant(
        "copyin-below-floor",
        "R18",
        "cells that arrive are not checked against the floor",
        (core("replica", "if cell.ver <= part.record.floor:", "if False:"),),
        schedule="late_copy_after_a_purge",
    ),
    Mutant(
        "copy-unlisted",
        "R13, R18",
        "a page is a first touch though replicas of old show different versions of a key",
        (
            core(
                "copying",
                "if own not in holders or not holders >= old:",
                "if False:",
            ),
            core(
                "copying",
                "return highest\n",
                "return shown.get(own, ZERO)\n",
            ),
        ),
    ),
    Mutant(
        "copy-left-out",
        "R18",
        "what a newcomer did not store counts as copied",
        (core("copying", "batch.left.update(key for key, _ in reply.keys)", "pass"),),
        harmless=True,
    ),
    Mutant(
        "removed-votes",
        "R5, R8",
        "a removed member answers any generation",
        (
            core(
                "replica",
                "config is None or self.disk not in config.member_set:\n            return",
                "config is None or self.disk not in config.member_set:\n"
                "            if config is not None and self.disk not in config.member_set:\n"
                "                return None\n"
                "            return",
            ),
            core(
                "replica",
                "yes = message.gen >= part.gen and",
                "yes = (message.gen >= part.gen or part.record.since is None) and",
            ),
            core(
                "replica",
                "part.record.config if message.gen < part.gen else None",
                "part.record.config if message.gen < part.gen and part.record.since else None",
            ),
        ),
        schedule="removed_members_vote",
    ),
    Mutant(
        "forget",
        "R5",
        "a removed member deletes its generation and promise too",
        (core("replica", _LEAVE, "self._cleared(part, record, None)\n            record = EMPTY"),),
        schedule="removed_members_vote",
    ),
    Mutant(
        "drop-on-joint",
        "R5",
        "a member of old that is not in new drops its data on the joint config",
        (
            core(
                "replica",
                "if since != part.record.since:",
                "if since != part.record.since or self.disk not in config.new_set:",
            ),
        ),
    ),
    Mutant(
        "rejoin-dirty",
        "R4, R5",
        "cells are deleted neither on leaving nor on joining",
        (
            core("replica", _JOIN, "record = record._replace(since=since)"),
            core("replica", _LEAVE, "record = record._replace(since=None)"),
        ),
        schedule="slept_through_removal",
    ),
    Mutant(
        "no-clear",
        "R4",
        "cells are deleted on leaving only",
        (core("replica", _JOIN, "record = record._replace(since=since)"),),
        schedule="slept_through_removal",
    ),
    Mutant(
        "wiped-votes",
        "R7",
        "a wiped disk keeps its id and votes",
        (
            shell(
                "processes",
                "self.disk = SimulatedDisk(self.cluster.new_disk_id(self.name))\n"
                "        self.world.tell",
                "self.disk = SimulatedDisk(old.disk)\n"
                "        self.disk.incarnation = old.incarnation\n"
                "        self.world.tell",
            ),
        ),
        schedule="wiped_disk",
    ),
    Mutant(
        "no-generation-in-accept",
        "R8",
        "Accept and CopyIn are not checked for their generation",
        (
            core(
                "replica",
                "if message.gen < part.gen or config is None",
                "if (message.gen < part.gen and not isinstance(message, Accept | CopyIn))"
                " or config is None",
            ),
        ),
        schedule="accept_after_rejoining",
    ),
    Mutant(
        "no-generation",
        "R8",
        "generations are checked nowhere",
        (
            core(
                "replica",
                "if message.gen < part.gen or config is None or self.disk not in",
                "if config is None or False and self.disk not in",
            ),
            core("replica", "yes = message.gen >= part.gen and", "yes ="),
            core("replica", "part.record.config if message.gen < part.gen else None", "None"),
            core("claims", "and part.gen == gen\n", "\n"),
        ),
        schedule="removed_members_vote",
    ),
    Mutant(
        "blind-cas",
        "R1",
        "the object is written without a precondition",
        (shell("supervisors", "compare_and_swap(expected, ", "compare_and_swap(None, "),),
    ),
    Mutant(
        "use-before-cas",
        "R1",
        "a config is shown to members before the compare-and-swap is confirmed",
        (
            Change(
                "becket.core.plans.writer",
                "effects.append(CompareAndSwap(event.object_version, ring))",
                "effects += [CompareAndSwap(event.object_version, ring), Announce(ring)]",
            ),
        ),
    ),
    Mutant(
        "certificate-adapted",
        "R1",
        "a certificate is applied to whatever change of the partition is under way",
        (
            Change(
                "becket.core.plans.wishes",
                "if config.gen != self.gen:  # R1",
                "if False:  # R1",
            ),
        ),
    ),
)

PURGE = (
    Mutant(
        "purge-old-only",
        "R21",
        "a purge in a joint config asks only the members of old",
        (
            _PURGE_JOINT,
            _SWEEP_JOINT,
            core("keys", _PURGE, "and replies.keys() >= config.old_set"),
        ),
        schedule="newcomer_deaf_to_a_delete",
    ),
    Mutant(
        "purge-new-only",
        "R21",
        "a purge in a joint config asks only the members of new",
        (
            _PURGE_JOINT,
            _SWEEP_JOINT,
            core("keys", _PURGE, "and replies.keys() >= config.new_set"),
        ),
        schedule="leaver_deaf_to_a_delete",
    ),
    Mutant(
        "purge-majority",
        "R21",
        "a purge asks a majority only",
        (core("keys", _PURGE, "and not config.is_joint and config.quorum(replies.keys())"),),
        schedule="deaf_to_a_delete",
    ),
    Mutant(
        "no-floor",
        "R21",
        "a purge leaves no floor behind",
        (
            core("replica", "if floor > part.record.floor:", "if False:"),
            core("keys", "max(self._c.known_floor, cell.ver)", "self._c.known_floor"),
        ),
    ),
)
