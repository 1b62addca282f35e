"""Fetch the Tika server once: Maven coordinates, pinned SHA-512, kept in a cache beside the code.

Run as `python -m ingest.setup_tika`. Without Java or Maven it says what to install and exits 1;
kb then still reads text, Markdown, HTML, CSV, JSON and XML by itself.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kb.errors import Broken, Unavailable

# Version 2.10 of the plugin copies the one file named. Later ones first read the parents of its
# POM, which a registry that serves only what people ask for may not have.
COPY = "org.apache.maven.plugins:maven-dependency-plugin:2.10:copy"
HOW_TO_JAVA = "install it with: apt-get install -y openjdk-17-jre-headless maven"


@dataclass(frozen=True)
class Artifact:
    """A file in a Maven repository and the SHA-512 it must have."""

    coordinates: str
    filename: str
    sha512: str


SERVER = Artifact(
    "org.apache.tika:tika-server-standard:3.3.2",
    "tika-server-standard-3.3.2.jar",
    "fb1f2fe57ac458b09d44d41d816f582e1d2fc93488acff6275caf414d8d5ef94"
    "e42166edc0b488dc2fb6ef3aa21fab62b107c43b9060385ff6d675e393c2c9e9",
)
# Documents that hang, exit, run out of memory or throw on demand: only for tests of our limits.
MOCK_PARSER = Artifact(
    "org.apache.tika:tika-core:3.3.2:jar:tests",
    "tika-core-3.3.2-tests.jar",
    "3f87229253d99e80cc9b7e953376e97e5a73d681682117cbf61e6458c64f431d"
    "7b2a4b4aadbe32200fad50265dcb6d8d532adb46e4ede2398291a4f42b9d645f",
)


def cache_dir() -> Path:
    """Where fetched files stay: `KB_CACHE`, or .cache at the root of the checkout; shared by all states."""
    root = os.environ.get("KB_CACHE") or Path(__file__).resolve().parent.parent / ".cache"
    return Path(root) / "tika"


def java() -> str | None:
    """Path of the Java runtime, or None."""
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "java").is_file():
        return str(Path(home) / "bin" / "java")
    return shutil.which("java")


def present(artifact: Artifact = SERVER) -> Path | None:
    """The fetched file if it is there, else None. Its hash was checked when it came."""
    path = cache_dir() / artifact.filename
    return path if path.is_file() else None


def fetch(artifact: Artifact = SERVER, timeout_s: float = 900) -> Path:
    """The file, fetched through Maven if it is not there yet.

    Raises Unavailable without Maven or network, Broken if the bytes are not the pinned ones.
    """
    found = present(artifact)
    if found is not None:
        _check(found, artifact)
        return found
    maven = shutil.which("mvn")
    if maven is None:
        raise Unavailable(f"Maven (mvn) is needed once to fetch {artifact.filename}; {HOW_TO_JAVA}")
    directory = cache_dir()
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory) as temporary:
        done = subprocess.run(
            [maven, "-B", "-q", COPY, f"-Dartifact={artifact.coordinates}", f"-DoutputDirectory={temporary}"],
            cwd=temporary,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
        )
        came = Path(temporary) / artifact.filename
        if done.returncode or not came.is_file():
            last = next((line for line in done.stdout.splitlines() if "ERROR" in line), "no message")
            raise Unavailable(f"Maven could not fetch {artifact.coordinates}: {last[:400]}")
        _check(came, artifact)
        came.replace(directory / artifact.filename)
    return directory / artifact.filename


def _check(path: Path, artifact: Artifact) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha512").hexdigest()
    if digest != artifact.sha512:
        path.unlink()
        raise Broken(
            f"{artifact.filename} is not the pinned file (its SHA-512 differs); it was removed, try again"
        )


def main() -> int:
    """Fetch and say where it is."""
    if java() is None:
        print(f"Java is missing, so only text, Markdown, HTML, CSV, JSON and XML can be read; {HOW_TO_JAVA}")
        return 1
    try:
        print(f"Tika server: {fetch()}")
    except (Unavailable, Broken) as error:
        print(error.detail)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
