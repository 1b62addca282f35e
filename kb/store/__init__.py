"""What is true: SQL rows and original files, the queue of work, and the set of collections one may read."""

from kb.store import checks
from kb.store.answer_days import AnswerDay, answer_days
from kb.store.blobs import Blob, Blobs
from kb.store.checks import Finding
from kb.store.chunks import Chunks, IndexedChunk, LoadedChunk, LogBatch
from kb.store.collections import Collections
from kb.store.conversations import Conversation, Conversations
from kb.store.db import Database
from kb.store.documents import Documents, DocumentText
from kb.store.entries import Entry
from kb.store.faqs import Faqs
from kb.store.idempotency import Idempotency
from kb.store.jobs import FenceLost, Jobs
from kb.store.private import private_directory
from kb.store.repair import repair_rows, sweep
from kb.store.retention import upkeep
from kb.store.scope import SYSTEM, Scope, allowed, need

__all__ = [
    "SYSTEM",
    "AnswerDay",
    "Blob",
    "Blobs",
    "Chunks",
    "Collections",
    "Conversation",
    "Conversations",
    "Database",
    "DocumentText",
    "Documents",
    "Entry",
    "Faqs",
    "FenceLost",
    "Finding",
    "Idempotency",
    "IndexedChunk",
    "Jobs",
    "LoadedChunk",
    "LogBatch",
    "Scope",
    "allowed",
    "answer_days",
    "checks",
    "need",
    "private_directory",
    "repair_rows",
    "sweep",
    "upkeep",
]
