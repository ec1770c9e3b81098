"""Mutants of records, stamps and attempts (PROTOCOL R14a, R26-R31)."""

from __future__ import annotations

from tests.simulation.mutation import Change, Mutant, core, shell

_SESSIONS = "becket.core.sessions"
_STALE = "if attempt.stamp < floor:"
_DEPOSED = "if attempt.stamp.epoch > reign.epoch:"

SESSIONS = (
    Mutant(
        "no-dedupe",
        "R27",
        "no operation records",
        (core("registers", "if record.session == session:", "if False:"),),
    ),
    Mutant(
        "false-not-recorded",
        "R28",
        "a negative answer to a retry is not recorded",
        (core("registers", "if not changed and not attempt.retry:", "if not changed:"),),
    ),
    Mutant(
        "late-reply",
        "R29",
        "late answers of attempts that were given up are accepted",
        (
            Change(
                _SESSIONS,
                "if answer.id != call.open_id or call.is_over:",
                "if call.is_over:",
            ),
            shell(
                "clients",
                "was_open = call.open_id == answer.id and call.outcome is None",
                "was_open = call.outcome is None",
            ),
        ),
    ),
    Mutant(
        "no-stamp",
        "R30",
        "no stamp is tested",
        (core("registers", _STALE, "if False:"), core("registers", _DEPOSED, "if False:")),
    ),
    Mutant(
        "new-stamp",
        "R30",
        "a retry takes a fresh stamp",
        (Change(_SESSIONS, "if not call.unsure:", "if True:"),),
    ),
    Mutant(
        "stamp-frozen-late",
        "R30",
        "the stamp is frozen at the time-out, after other keys' answers have raised it",
        (
            Change(
                _SESSIONS,
                "call.open_id = 0\n        call.unsure = True",
                "call.open_id = 0\n"
                "        if not call.unsure:\n"
                "            call.stamp = self._stamps.get(call.partition, ZERO)\n"
                "        call.unsure = True",
            ),
        ),
        schedule="retry_beside_another_key",
    ),
    Mutant(
        "stamp-stay",
        "R30",
        "a coordinator refuses by stamp and stays",
        (
            core(
                "registers",
                "            return Fold(None, reign.seq, [], deposed=True)",
                "            decisions.append("
                "Decision(attempt, Verb.REFUSED, (), Reason.STEPPED_DOWN))\n"
                "            continue",
            ),
        ),
        schedule="deposed_out_of_earshot",
    ),
    Mutant(
        "evict-silently",
        "R31",
        "a record is dropped without raising rec_floor",
        (
            core(
                "registers",
                "rec_floor = max(rec_floor, dropped.executed_at)  # R31",
                "pass",
            ),
        ),
    ),
    Mutant(
        "record-replaced-in-batch",
        "R14a",
        "each operation of a list has a record of its own, which replaces the one before",
        (
            core(
                "registers",
                "",
                """
_run_whole, _execute_whole = _run, _execute


def _execute(cell, attempt, reign, settings):
    if len(attempt.operations) == 1:
        return _execute_whole(cell, attempt, reign, settings)
    floor = reign.known_floor if cell is None else cell.rec_floor
    if attempt.stamp < floor:
        return Decision(attempt, Verb.REFUSED, (), Reason.STALE_STAMP), None, reign.seq
    record = _record_of(cell, attempt.session)
    if record is not None and int(record.number) > attempt.number:
        return Decision(attempt, Verb.REFUSED, (), Reason.OLD_NUMBER), None, reign.seq
    results, changed = [], None
    for place, operation in enumerate(attempt.operations):
        number = attempt.number + place / 10
        record = _record_of(cell, attempt.session)
        if record is not None and record.number == number:
            results.append(record.results[0])
            continue
        one = attempt._replace(operations=(operation,), number=number, retry=True)
        decision, after, seq = _run_whole(cell, one, reign, settings)
        reign = reign._replace(seq=seq)
        results.append(decision.results[0])
        cell = changed = after
    verb = Verb.RECORDED if changed is None else Verb.WRITTEN
    return Decision(attempt, verb, tuple(results), Reason.NONE), changed, reign.seq
""",
            ),
        ),
    ),
)
