"""What makes documents findable: the sentence encoder and the two indexes derived from SQL."""

from kb.index.encoder import OpenVinoEncoder, open_encoder
from kb.index.index import Hits, Index, IndexCheck
from kb.index.sentence_vectors import Nearness, fill
from kb.index.text import distinct_terms, question_terms, terms

__all__ = [
    "Hits",
    "Index",
    "IndexCheck",
    "Nearness",
    "OpenVinoEncoder",
    "distinct_terms",
    "fill",
    "open_encoder",
    "question_terms",
    "terms",
]
