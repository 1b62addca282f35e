"""The composition root: every part of kb with its real neighbours, built when first used.

`build(settings, **overrides)` gives a `Kb`. Tests and other programs pass their own parts by name
(`build(settings, encoder=FakeEncoder())`); nothing is patched. Parts that cost time or memory (the
encoder, the indexes) are imported and built on first use, so that `kb list` starts as fast as it reads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from kb.settings import Settings

if TYPE_CHECKING:
    from kb.access.groups import Groups
    from kb.access.keys import Keys
    from kb.access.sessions import Sessions
    from kb.access.users import Users
    from kb.answer.ask import Asker
    from kb.index import Index
    from kb.llm.queue import Queue
    from kb.ports import ChatModel, Encoder
    from kb.retrieval import FaqMatcher, Retriever
    from kb.store.blobs import Blobs
    from kb.store.collections import Collections
    from kb.store.conversations import Conversations
    from kb.store.db import Database
    from kb.store.documents import Documents
    from kb.store.faqs import Faqs
    from kb.store.idempotency import Idempotency
    from kb.store.jobs import Jobs
    from kb.store.sentences import Sentences

T = TypeVar("T")


class part(Generic[T]):
    """A part built once, on first use, under its Kb's lock."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        self.make, self.__doc__ = make, make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, kb: None, owner: type) -> part[T]: ...
    @overload
    def __get__(self, kb: object, owner: type) -> T: ...
    def __get__(self, kb: Any, owner: type) -> Any:
        if kb is None:
            return self
        with kb.lock:
            if self.name not in kb.__dict__:
                kb.__dict__[self.name] = self.make(kb)
        return kb.__dict__[self.name]


class Kb:
    """All of kb for one state directory. Thread-safe; one per process, made after any fork."""

    def __init__(self, settings: Settings, **overrides: Any) -> None:
        strange = [name for name in overrides if not isinstance(getattr(type(self), name, None), part)]
        if strange:
            raise TypeError(f"no part of kb is called {', '.join(strange)}")
        self.settings = settings
        self.lock = threading.RLock()
        self.__dict__.update(overrides)

    @part
    def db(self) -> Database:
        """The database, migrated."""
        from kb.store.db import Database
        from kb.store.private import private_directory

        private_directory(self.settings.data)
        db = Database(self.settings.database)
        db.migrate()
        return db

    @part
    def blobs(self) -> Blobs:
        """Original files by their SHA-256."""
        from kb.store.blobs import Blobs

        return Blobs(self.settings.data / "blobs")

    @part
    def documents(self) -> Documents:
        """Documents, their revisions and texts."""
        from kb.store.documents import Documents

        return Documents(self.db, self.blobs, limit_bytes=self.settings.max_file_mb * 2**20)

    @part
    def jobs(self) -> Jobs:
        """The lease queue."""
        from kb.store.jobs import Jobs

        return Jobs(self.db)

    @part
    def collections(self) -> Collections:
        """Collections and grants."""
        from kb.store.collections import Collections

        return Collections(self.db)

    @part
    def sentences(self) -> Sentences:
        """Vectors of sentences."""
        from kb.store.sentences import Sentences

        return Sentences(self.db)

    @part
    def conversations(self) -> Conversations:
        """Questions, answers and feedback."""
        from kb.store.conversations import Conversations

        return Conversations(self.db)

    @part
    def faqs(self) -> Faqs:
        """Curated entries."""
        from kb.store.faqs import Faqs

        return Faqs(self.db, lambda texts: self.encoder.encode_documents(texts), lambda: self.encoder.name)

    @part
    def idempotency(self) -> Idempotency:
        """First answers to keyed requests."""
        from kb.store.idempotency import Idempotency

        return Idempotency(self.db)

    @part
    def users(self) -> Users:
        """People and their passwords."""
        from kb.access.users import Users

        return Users(self.db)

    @part
    def groups(self) -> Groups:
        """Groups of people."""
        from kb.access.groups import Groups

        return Groups(self.db)

    @part
    def keys(self) -> Keys:
        """API keys."""
        from kb.access.keys import Keys

        return Keys(self.db)

    @part
    def sessions(self) -> Sessions:
        """Browser sessions."""
        from kb.access.sessions import Sessions

        return Sessions(self.db)

    @part
    def encoder(self) -> Encoder:
        """Text to vectors."""
        from kb.index import open_encoder

        return open_encoder(self.settings)

    @part
    def index(self) -> Index:
        """The dense and the lexical index."""
        from kb.index import Index

        return Index(self.db, self.encoder, self.settings.data / "index")

    @part
    def retriever(self) -> Retriever:
        """The one way to document text."""
        from kb.retrieval import Retriever

        return Retriever(self.db, self.index, self.encoder)

    @part
    def faq_matcher(self) -> FaqMatcher:
        """Questions to curated entries."""
        from kb.retrieval import FaqMatcher

        return FaqMatcher(self.db, self.encoder)

    @part
    def chat(self) -> ChatModel | None:
        """The language model, or None where none is configured."""
        from kb.llm.openai import OpenAIChat

        return OpenAIChat(self.settings) if self.settings.llm_url else None

    @part
    def queue(self) -> Queue:
        """Places at the language model."""
        from kb.llm.queue import Queue

        return Queue(self.settings.llm_concurrency, self.settings.llm_queue)

    @part
    def asker(self) -> Asker:
        """Questions to answers."""
        from kb.answer.ask import Asker

        return Asker(
            self.settings,
            self.conversations,
            self.retriever,
            self.faq_matcher,
            self.chat,
            self.queue,
            self.encoder,
        )

    def close(self) -> None:
        """Let go of files and connections."""
        for name in ("index", "chat", "db"):
            close = getattr(self.__dict__.get(name), "close", None)
            if close is not None:
                close()


def build(settings: Settings | None = None, **overrides: Any) -> Kb:
    """A `Kb` on these settings (read from the environment if not given)."""
    return Kb(settings or Settings(), **overrides)
