"""A disk that fills up: a clear error, nothing acknowledged lost, and on it goes once there is space."""

from __future__ import annotations

import json
from pathlib import Path

from tests.faults import small_disk

SCRIPT = """
import io, json, os, sys
from pathlib import Path
from kb.errors import DiskFull
from kb.ops.doctor import check
from kb.store import SYSTEM, Blobs, Collections, Database, Documents, Jobs
from tests.fakes import FakeEncoder, parsed

folder = Path(sys.argv[1])
db = Database(f"sqlite:///{folder}/kb.sqlite3")
db.migrate()
Collections(db).create(SYSTEM, "docs")
documents, jobs = Documents(db, Blobs(folder / "blobs")), Jobs(db)
seen = {"add": 0, "publish": 0, "acknowledged": 0}

def add(n):
    documents.add(SYSTEM, "docs", io.BytesIO(os.urandom(100_000)), f"{n}.bin")
    seen["acknowledged"] += 1

def until_full(name, act):
    for n in range(1000):
        try:
            act(n)
        except DiskFull as error:
            assert "full" in error.detail, error.detail
            seen[name] += 1
            return
    raise SystemExit("the disk never filled")

filler = folder / "filler"
filler.write_bytes(b"x" * 2_000_000)
until_full("add", add)
assert len(documents.list(SYSTEM, limit=500)[0]) == seen["acknowledged"]   # reading goes on
filler.unlink()
add("freed")                                                               # so does writing, without a restart

job = jobs.claim()
text = chr(10).join(["word " * 40] * 40)
big = (text + chr(10) * 2) * 100
filler.touch()
def fill(n):                                                               # leave next to nothing
    with filler.open("ab") as file:
        try:
            file.write(os.urandom(50_000)); file.flush()
        except OSError:
            raise DiskFull("full") from None
until_full("add", fill)
try:
    documents.publish(job, parsed(big), FakeEncoder.name)
except DiskFull:
    seen["publish"] += 1
assert documents.get(SYSTEM, job.document_id).chunks == 0
filler.unlink()
assert jobs.heartbeat(job)
documents.publish(job, parsed("small"), FakeEncoder.name)
assert documents.get(SYSTEM, job.document_id).state == "ready"
assert len(documents.list(SYSTEM, limit=500)[0]) == seen["acknowledged"]
report = check(type("Kb", (), {"db": db, "blobs": Blobs(folder / "blobs")})(), full=True)
assert report.ok, report
print(json.dumps(seen))
"""


def test_a_full_disk_is_said_and_survived(tmp_path: Path) -> None:
    seen = json.loads(small_disk.run(SCRIPT, tmp_path / "small"))
    assert seen["add"] == 2 and seen["publish"] == 1, "the fault did not land"
    assert seen["acknowledged"] > 5
