"""The OpenAPI document, docs/api.md and the program say the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import checks

from tests.web.conftest import World
from web.openapi import document

ROOT = Path(__file__).resolve().parents[2]
CALLS = {
    f"{method.upper()} {path}": operation
    for path, methods in document()["paths"].items()
    for method, operation in methods.items()
}


def test_the_guide_lists_every_call_with_its_scope() -> None:
    rows = re.findall(
        r"^\| `([A-Z]+ /\S+)` \| (\S+) \| (\d+)", (ROOT / "docs/api.md").read_text(), re.MULTILINE
    )
    assert {call for call, _, _ in rows} == set(CALLS)
    for call, scope, status in rows:
        assert status in CALLS[call]["responses"], call
        assert CALLS[call]["description"] == (f"Scope: {scope}." if scope != "–" else "Any key."), call


def test_the_first_design_is_kept() -> None:
    """The calls and fields that were promised before there was a program."""
    paper = ROOT.parent / "shared/design/api.md"
    if not paper.is_file():
        pytest.skip("the design papers are not beside this checkout")
    text = paper.read_text()
    for call in re.findall(r"`([A-Z]+) (/[^`\s]*)`", text):
        if call[1] not in ("/livez", "/readyz"):
            assert f"{call[0]} {call[1]}" in CALLS, call
    schemas = document()["components"]["schemas"]
    for name, model in (("Answer", "AnswerOut"), ("Passage", "PassageOut"), ("Document", "DocumentOut")):
        promised = re.search(rf"^{name}: (.*?)(?:\n\n|;)", text, re.MULTILINE | re.DOTALL)
        assert promised
        plain = re.sub(r"\([^)]*\)|\[[^\]]*\]|{[^}]*}|`", "", promised[1].replace("\n", " "))
        fields = {part.strip().split(":")[0].split(" ")[0].rstrip(".") for part in plain.split(",")}
        assert fields - set(schemas[model]["properties"]) <= {""}, name


def test_answers_hold_what_the_document_says(world: World) -> None:
    import jsonschema_rs

    schemas = document()["components"]["schemas"]
    rest = world.rest("admin")

    def fits(name: str, body: Any) -> None:
        validator = jsonschema_rs.validator_for(
            {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
        )
        assert [error.message for error in validator.iter_errors(body)] == []

    answer = rest.ask("holiday").get_json()
    fits("AnswerOut", answer)
    fits("PassagesOut", rest.post("/search", json={"question": "holiday"}).get_json())
    fits("DocumentOut", rest.upload(b"x").get_json())
    fits("DocumentList", rest.get("/documents").get_json())
    fits("CollectionList", rest.get("/collections").get_json())
    fits("FaqList", rest.get("/faq").get_json())
    fits("ConversationList", rest.get("/conversations").get_json())
    fits("ConversationAnswers", rest.get(f"/conversations/{answer['conversation_id']}").get_json())
    fits("Problem", rest.get("/nothing").get_json())


def test_the_page_and_the_document_are_served_here(world: World) -> None:
    client = world.app.test_client()
    assert client.get("/api/v1/openapi.json").get_json() == document()
    page = client.get("/api/docs").get_data(as_text=True)
    assert all(operation["operationId"] in page for operation in CALLS.values())


@pytest.mark.filterwarnings("ignore")
def test_no_request_breaks_it(world: World) -> None:
    """Schemathesis: whatever fits or does not fit the document, never a 5xx, never a shape it does not say."""
    world.kb.settings.__dict__["requests_per_minute"] = 10**6
    world.app.extensions["kb.doors"].buckets.per_minute = 10**6
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", world.app)
    headers = {"Authorization": f"Bearer {world.keys['all']}"}
    chosen = [checks.CHECKS.get_one(n) for n in ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")]  # fmt: skip
    cases = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        strategy = operation.as_strategy()

        from hypothesis import given

        @settings(
            max_examples=12,
            database=None,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=strategy)
        def run(case: Any) -> None:
            nonlocal cases
            cases += 1
            case.call_and_validate(headers=headers, checks=chosen)

        run()
    assert cases >= 12 * 10
