"""Damage on members' disks, as status and events tell it.

Owns the sentences. Must not decide anything: coordinators mend what members find (R8, R35).
"""

from __future__ import annotations

from becket.core.supervision.saying import Said, Topic
from becket.core.supervision.snapshot import Seen, Snapshot


def damage_sentences(snapshot: Snapshot) -> tuple[Said, ...]:
    """One for each member that has found damage since it started; an event when there is more."""
    hurt = [seen for seen in snapshot.connected if seen.damaged_cells]
    return tuple(_said(seen) for seen in sorted(hurt, key=lambda seen: seen.name))


def _said(seen: Seen) -> Said:
    found, mended = seen.damaged_cells, seen.mended_cells
    cells = "1 damaged cell was" if found == 1 else f"{found} damaged cells were"
    head = f"{seen.name}: {cells} found on its disk"
    if mended < found:
        sentence = f"{head}, {mended} mended so far from other replicas"
        return Said(
            Topic.MEMBER, sentence, seen.name, key=f"damage {seen.disk} {found}", is_warning=True
        )
    sentence = f"{head} and mended from other replicas; look at the disk if there are more"
    return Said(Topic.MEMBER, sentence, seen.name, key=f"mended {seen.disk} {found}")
