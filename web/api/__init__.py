"""The REST endpoints, one file for each kind of thing. Importing this package fills `endpoints.TABLE`."""

from web.api import ask, collections, conversations, documents, faq

__all__ = ["ask", "collections", "conversations", "documents", "faq"]
