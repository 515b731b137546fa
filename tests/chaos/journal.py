"""journal.py - triggers in the broker's own database that keep what it deletes (a full disk makes finished jobs go
sooner) and each move of a job to a terminal state, in the very transaction that does it."""

import sqlite3

KEPT = ("job", "spec", "attempt", "output", "event")


def columns(db, table):
    return [row[1] for row in db.execute(f"PRAGMA table_info({table})")]


def install(path):
    db = sqlite3.connect(path)
    for table in KEPT:
        names = columns(db, table)
        old = ", ".join("old." + name for name in names)
        db.execute(f"CREATE TABLE chaos_{table} ({', '.join(names)})")
        db.execute(f"CREATE TRIGGER chaos_keep_{table} AFTER DELETE ON {table} "
                   f"BEGIN INSERT INTO chaos_{table} VALUES ({old}); END")
    db.execute("CREATE TABLE chaos_end (job, state, attempt)")
    db.execute("CREATE TRIGGER chaos_ends AFTER UPDATE OF state ON job WHEN new.state >= 4 "
               "BEGIN INSERT INTO chaos_end VALUES (new.id, new.state, new.attempt); END")
    db.commit()
    db.close()


def rows(db, table):
    """All rows that the table ever had, as far as they were not changed."""
    names = ", ".join(columns(db, table))
    return db.execute(f"SELECT {names} FROM {table} UNION ALL SELECT {names} FROM chaos_{table}")
