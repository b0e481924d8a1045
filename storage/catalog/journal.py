"""The journal of decisions: lines are added, never changed."""

from collections.abc import Callable, Collection

from sqlalchemy import CompoundSelect, Engine, func, insert, select, true, union

from storage.catalog.rows import decision_of, decision_row
from storage.records import Decision
from storage.tables import decisions, reading, writing


def standing_ids() -> CompoundSelect[int]:
    """The ids of the lines that stand: the last on every mask, and the last of every study.

    So a line about a study as a whole stands until one about a mask says that the study could be
    looked at after all.
    """
    last = select(func.max(decisions.c.id))
    of_masks = last.where(decisions.c.mask_instance_uid.is_not(None)).group_by(
        decisions.c.study_instance_uid, decisions.c.mask_instance_uid
    )
    return union(of_masks, last.group_by(decisions.c.study_instance_uid))


class Journal:
    """What was decided about each mask object, and about studies without one."""

    def __init__(self, database: Engine) -> None:
        self._database = database

    def write_down(
        self,
        decision: Decision,
        *,
        yields_to: Callable[[Decision], bool] = lambda _: False,
        follows: Callable[[Decision | None], bool] = lambda _: True,
    ) -> bool:
        """Add a line; False where it says what the mask's last line says already.

        False, too, where it does not follow what is now the last line, whoever wrote that. A last
        line that it yields to is repeated after it: it is still where the mask stands. The last
        line before one about a whole study is that of the study, whichever mask it is about: a
        fault that comes again after it is told again.
        """
        row = decision_row(decision)
        last = (
            select(decisions)
            .where(
                decisions.c.study_instance_uid == decision.study_instance_uid,
                true()
                if decision.mask_instance_uid is None
                else decisions.c.mask_instance_uid == decision.mask_instance_uid,
            )
            .order_by(decisions.c.id.desc())
            .limit(1)
        )
        with writing(self._database) as connection:
            before = connection.execute(last).first()
            if not follows(None if before is None else decision_of(before)):
                return False
            if before is not None and all(
                getattr(before, column) == row[column]
                for column in ("mask_instance_uid", "state", "code", "reasons", "facts")
            ):
                return False
            connection.execute(insert(decisions), row)
            if before is not None and yields_to(decision_of(before)):
                again = {column: getattr(before, column) for column in row}
                connection.execute(
                    insert(decisions), again | {"decided_at_us": row["decided_at_us"]}
                )
            return True

    def decisions(
        self, study_instance_uid: str, mask_instance_uid: str | None = None
    ) -> tuple[Decision, ...]:
        """The lines of a study, or of one of its masks, in the order they were written."""
        wanted = select(decisions).where(decisions.c.study_instance_uid == study_instance_uid)
        if mask_instance_uid is not None:
            wanted = wanted.where(decisions.c.mask_instance_uid == mask_instance_uid)
        with reading(self._database) as connection:
            rows = connection.execute(wanted.order_by(decisions.c.id))
            return tuple(decision_of(row) for row in rows)

    def since(self, cursor: int, codes: Collection[str]) -> tuple[int, tuple[Decision, ...]]:
        """The newest line's number, and the lines of these codes that came after `cursor`."""
        wanted = select(decisions).where(decisions.c.id > cursor, decisions.c.code.in_(codes))
        with reading(self._database) as connection:
            newest = connection.scalar(select(func.coalesce(func.max(decisions.c.id), 0))) or 0
            if newest <= cursor:
                return newest, ()
            rows = connection.execute(wanted.order_by(decisions.c.id))
            return newest, tuple(decision_of(row) for row in rows)

    def latest(self, states: Collection[str] | None) -> tuple[Decision, ...]:
        """The lines that stand, of those states alone where some are named."""
        wanted = (
            select(decisions).where(decisions.c.id.in_(standing_ids())).order_by(decisions.c.id)
        )
        if states is not None:
            wanted = wanted.where(decisions.c.state.in_(states))
        with reading(self._database) as connection:
            return tuple(decision_of(row) for row in connection.execute(wanted))

    def next_lines(self, cursor: int, limit: int) -> tuple[int, tuple[Decision, ...]]:
        """The number of the last of the next lines after `cursor`, and these lines."""
        wanted = select(decisions).where(decisions.c.id > cursor)
        with reading(self._database) as connection:
            rows = connection.execute(wanted.order_by(decisions.c.id).limit(limit)).all()
        return rows[-1].id if rows else cursor, tuple(map(decision_of, rows))

    def all(self) -> tuple[Decision, ...]:
        """Every line, oldest first."""
        with reading(self._database) as connection:
            rows = connection.execute(select(decisions).order_by(decisions.c.id))
            return tuple(decision_of(row) for row in rows)

    def carry_over(self, lines: Collection[Decision]) -> None:
        """Write lines of an earlier index as they are."""
        if lines:
            with writing(self._database) as connection:
                connection.execute(insert(decisions), [decision_row(line) for line in lines])
