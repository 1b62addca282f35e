"""The configuration of kb's own Tika server: its limits, written as XML.

One JVM per port, one port per parsing slot: a document that hangs, exits or eats the heap takes
only its own JVM down, so a failure is always that document's own.
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

from kb.settings import Settings

OCR_DPI = 200
# on a PDF page, stamps included: with more it is not read as an image, whatever else is on it
SPARSE_CHARACTERS = 120
OCR_MAX_BYTES = 20 * 2**20
OCR_TIMEOUT_S = 60
PDF_MEMORY_BYTES = 128 * 2**20
# TieredStopAtLevel=1: on 299 real files the second compiler cost more processor time than it saved, in the first
# pass (37 s against 13 s) and still in the third (14 s against 6 s).

TEMPLATE = """<?xml version="1.0" encoding="UTF-8"?>
<properties>
  <server><params>
    <host>127.0.0.1</host>
    <port>{ports}</port>
    <taskTimeoutMillis>{task_timeout_ms}</taskTimeoutMillis>
    <minimumTimeoutMillis>{minimum_timeout_ms}</minimumTimeoutMillis>
    <taskPulseMillis>{pulse_ms}</taskPulseMillis>
    <maxFiles>100000</maxFiles>
    <forkedJvmArgs>
      <arg>-Xmx{heap_mb}m</arg>
      <arg>-XX:+UseSerialGC</arg>
      <arg>-XX:TieredStopAtLevel=1</arg>
      <arg>-Djava.awt.headless=true</arg>
      <arg>-Djava.io.tmpdir={temporary}</arg>
    </forkedJvmArgs>
    <endpoints><endpoint>rmeta</endpoint><endpoint>detect</endpoint><endpoint>version</endpoint></endpoints>
  </params></server>
  <parsers>
    <parser class="org.apache.tika.parser.DefaultParser">
      <parser-exclude class="org.apache.tika.parser.pdf.PDFParser"/>
      <parser-exclude class="org.apache.tika.parser.ocr.TesseractOCRParser"/>
    </parser>
    <parser class="org.apache.tika.parser.pdf.PDFParser"><params>
      <param name="extractBookmarksText" type="bool">false</param>
      <param name="ocrDPI" type="int">{ocr_dpi}</param>
      <param name="ocrStrategyAuto" type="string">10,{sparse}</param>
      <param name="maxMainMemoryBytes" type="long">{pdf_memory}</param>
    </params></parser>
    <parser class="org.apache.tika.parser.ocr.TesseractOCRParser"><params>
      <param name="language" type="string">{languages}</param>
      <param name="preserveInterwordSpacing" type="bool">true</param>
      <param name="timeoutSeconds" type="int">{ocr_timeout_s}</param>
      <param name="maxFileSizeToOcr" type="long">{ocr_max_bytes}</param>
    </params></parser>
  </parsers>
  <autoDetectParserConfig><params>
    <outputThreshold>1000000</outputThreshold>
    <maximumCompressionRatio>100</maximumCompressionRatio>
    <maximumDepth>100</maximumDepth>
    <maximumPackageEntryDepth>5</maximumPackageEntryDepth>
  </params>
  <metadataWriteFilterFactory class="org.apache.tika.metadata.writefilter.StandardWriteFilterFactory"><params>
    <maxFieldSize>102400</maxFieldSize>
    <maxTotalEstimatedBytes>1048576</maxTotalEstimatedBytes>
    <maxValuesPerField>100</maxValuesPerField>
  </params></metadataWriteFilterFactory>
  </autoDetectParserConfig>
</properties>
"""


def ocr_languages(wanted: str, installed: frozenset[str]) -> str:
    """Of the wanted Tesseract languages those that are installed: one missing pack fails every page."""
    usable = [name for name in wanted.split("+") if name in installed]
    return "+".join(usable) or "eng"


def write(settings: Settings, first_port: int, directory: Path, installed: frozenset[str]) -> Path:
    """Write the configuration for `settings.tika_slots` ports from `first_port`; returns its path."""
    timeout_ms = settings.parse_timeout_s * 1000
    last = first_port + settings.tika_slots - 1
    text = TEMPLATE.format(
        ports=f"{first_port}-{last}" if last > first_port else first_port,
        task_timeout_ms=timeout_ms,
        minimum_timeout_ms=min(30_000, timeout_ms),
        pulse_ms=min(2000, max(100, timeout_ms // 4)),
        heap_mb=settings.tika_heap_mb,
        temporary=escape(str(directory / "tmp")),
        ocr_dpi=OCR_DPI,
        sparse=SPARSE_CHARACTERS,
        pdf_memory=PDF_MEMORY_BYTES,
        languages=escape(ocr_languages(settings.ocr_languages, installed)),
        ocr_timeout_s=OCR_TIMEOUT_S,
        ocr_max_bytes=OCR_MAX_BYTES,
    )
    path = directory / "tika-config.xml"
    path.write_text(text, encoding="utf-8")
    return path
