"""A disk that is full when the index has to take in something new: asking goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import small_disk

SCRIPT = """
import sys
from pathlib import Path
from kb.index import Index
from kb.store import SYSTEM, Blobs, Collections, Database, Documents, Jobs, allowed
from tests.fakes import FakeEncoder, put

small, roomy = Path(sys.argv[1]), Path(sys.argv[2])
db = Database(f"sqlite:///{roomy}/kb.sqlite3")
db.migrate()
Collections(db).create(SYSTEM, "docs")
documents, jobs = Documents(db, Blobs(roomy / "blobs")), Jobs(db)
with db.read() as session:
    ids = allowed(session, SYSTEM).collection_ids
index = Index(db, FakeEncoder(), small / "index")
found = lambda index, word: len(index.search(word, ids).ids)

put(documents, jobs, "A zebra is striped.", "one")
assert found(index, "zebra")
index.snapshot()
kept = sorted(path.name for path in index._home.iterdir() if path.name[0].isdigit())
assert len(kept) == 1
filler = small / "filler"
try:
    with filler.open("wb") as file:
        while True:
            file.write(bytes(4096))
            file.flush()
except OSError as error:
    assert error.errno == 28
put(documents, jobs, "A giraffe is tall.", "two")
assert found(index, "giraffe") and found(index, "zebra")
again = Index(db, FakeEncoder(), small / "index")        # a start on the full disk
assert found(again, "giraffe") and found(again, "zebra")
assert [path.name for path in index._home.iterdir() if path.name[0].isdigit()] == kept, "set aside as damaged"
filler.unlink()
put(documents, jobs, "A lion is loud.", "three")
assert found(index, "lion") and found(again, "lion")
index.close()
again.close()
assert not list(Path("/dev/shm").glob(f"kb-*/{__import__('os').getpid()}-*"))
print("done")
"""


def test_asking_goes_on_while_the_disk_is_full(tmp_path: Path) -> None:
    if not Path("/dev/shm").is_dir():
        pytest.skip("the words need /dev/shm")
    assert small_disk.run(SCRIPT, tmp_path / "small", str(tmp_path)) == "done\n"
