"""The core: knows documents, questions, answers; no web server, no parser.

Nothing leaves the machine, and that includes what libraries like to tell their makers. OpenVINO reports every import to
Google Analytics unless its reporting package is missing; for kb it is. Hugging Face's libraries ask for this word.
"""

import os
import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: importing it fails
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")
