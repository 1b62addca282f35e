"""Loading what the first question needs, beside the first requests: encoder, indexes, both of its graphs.

Pages, uploads and sign-in work from the first moment; a question that comes earlier waits for its part of the
work. `/readyz` is red until all of it is there, so whoever waits for it gets a first answer as fast as the second.
"""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING

from kb.errors import KbError
from kb.ops.arenas import give_back

if TYPE_CHECKING:
    from kb.app import Kb

RUNNING = "is being opened"
AGAIN_S = 10.0  # after a failure: the disk may have been full, the encoder not there yet

log = logging.getLogger("web")


class Opening:
    """why: what is not ready yet, in words for an operator; empty once everything is."""

    def __init__(self, kb: Kb) -> None:
        self.kb, self.why = kb, RUNNING

    def start(self) -> Opening:
        """Begin, in a thread of its own; tried again every AGAIN_S until it succeeds."""
        threading.Thread(target=self._run, name="opening", daemon=True).start()
        return self

    def open(self) -> bool:
        """Do it now. False, with the reason in `why` and on standard error: it failed."""
        kb = self.kb
        try:
            kb.index.refresh()
            kb.encoder.encode_question("the first question")  # compiles the graph
            kb.encoder.encode_documents(["the first sentence that is read"])
            _ = kb.asker
            give_back()
        except KbError as error:
            if self.why != error.title:
                print(f"kb serve: {error.detail}", file=sys.stderr, flush=True)
            self.why = error.title
            return False
        except Exception as error:  # a fault of ours must not leave the server red without a word
            log.exception("opening the index")
            self.why = f"could not be opened: {type(error).__name__}; the log has the details"
            return False
        self.why = ""
        return True

    def _run(self) -> None:
        pause = threading.Event()
        while not self.open():
            pause.wait(AGAIN_S)
