"""Our retriever for people who live in LangChain: a `BaseRetriever` that searches as one principal."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import Field

from kb.types import Principal


class KbRetriever(BaseRetriever):
    """`KbRetriever(retriever=kb.retriever, principal=…)`; documents carry title, url, page and score as metadata."""

    retriever: Any = Field(description="kb.retrieval.Retriever")
    principal: Principal
    collections: tuple[str, ...] | None = None
    limit: int = 10

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        found = self.retriever.retrieve(self.principal, query, collections=self.collections, limit=self.limit)
        return [
            Document(
                page_content=passage.text,
                metadata={
                    "document_id": passage.document_id,
                    "external_id": passage.external_id,
                    "title": passage.title,
                    "collection": passage.collection,
                    "heading": passage.heading,
                    "page": passage.page,
                    "url": passage.url,
                    "score": passage.score,
                },
            )
            for passage in found.passages
        ]
