"""Finding: passages of documents and curated answers, for one principal at a time."""

from kb.retrieval.faq import FaqMatcher
from kb.retrieval.retrieve import Retriever

__all__ = ["FaqMatcher", "Retriever"]
