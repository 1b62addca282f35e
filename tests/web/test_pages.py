"""The pages as they arrive: what they offer fits what their reader may do."""

from __future__ import annotations

import re
import time
import tracemalloc

from kb.store import SYSTEM
from kb.store.documents import DocumentText
from tests.web.conftest import World, publish
from web.pages.document_text import COLUMNS, Hits, Piece, cut, find, laid


def offered(page: str, part: str) -> list[str]:
    """The names of collections in the list to choose from that `part` begins."""
    return re.findall(r'<option value="([^"]+)"', page.split(part, 1)[1].split("</select>", 1)[0])


def test_forms_offer_only_collections_that_may_be_written(world: World) -> None:
    world.kb.collections.create(SYSTEM, "common", "Common", everyone=True)
    curator = world.browser("curator")
    documents, faq = (curator.get(path).get_data(as_text=True) for path in ("/documents", "/faq"))
    assert offered(documents, 'id="into"') == ["docs"] == offered(faq, 'id="faq-form"')
    assert offered(documents, 'name="collection"') == ["common", "docs"]  # reading is another matter
    refused = curator.post("/app/faq", json={"question": "Q?", "answer": "A", "collection": "common"})
    assert refused.status_code == 403 and "may read the collection 'common'" in refused.get_json()["detail"]
    hidden = curator.post("/app/faq", json={"question": "Q?", "answer": "A", "collection": "secret"})
    missing = curator.post("/app/faq", json={"question": "Q?", "answer": "A", "collection": "nowhere"})
    assert hidden.status_code == missing.status_code == 404


def test_who_may_write_nowhere_is_told(world: World) -> None:
    world.kb.collections.revoke("docs", "user", "usr_curator")
    for path in ("/documents", "/faq"):
        page = world.browser("curator").get(path).get_data(as_text=True)
        assert re.search(r'class="(wrong|note)"( id="nowhere")?>.*There is no collection', page), path
    assert 'id="add" disabled' in page and 'id="import" disabled' in page  # a form that cannot be sent
    page = world.browser("editor").get("/documents").get_data(as_text=True)
    assert 'id="nowhere" hidden' in page


def test_admins_see_which_collections_nobody_else_reads(world: World) -> None:
    world.kb.collections.create(SYSTEM, "common", "Common", everyone=True)
    page = world.browser("admin").get("/documents").get_data(as_text=True)
    assert "Secret (only admins read it)" in page and ">Common</option>" in page
    assert "only admins" not in world.browser("editor").get("/documents").get_data(as_text=True)


def test_code_words_of_the_problem_pages_are_set_as_code(world: World) -> None:
    page = world.browser("").get("/problems/unauthenticated").get_data(as_text=True)
    assert "<code>Authorization: Bearer kb_…</code>" in page and "`" not in page


def test_a_document_without_text_says_where_it_is(world: World) -> None:
    admin = world.browser("admin")
    id_ = admin.upload(b"text", "new.txt").get_json()["id"]
    assert "yet: the document waits to be read." in admin.get(f"/documents/{id_}").get_data(as_text=True)
    job = world.kb.jobs.claim()
    assert job is not None
    assert "yet: the document is being read." in admin.get(f"/documents/{id_}").get_data(as_text=True)
    world.kb.jobs.fail(job, "It is broken. Send it again.")
    page = admin.get(f"/documents/{id_}").get_data(as_text=True)
    assert "It is broken. Send it again." in page and "yet" not in page.split("<main", 1)[1]


def test_curators_see_what_people_thought_of_their_answers(world: World) -> None:
    reader, curator = world.browser("reader"), world.browser("curator")
    answer = reader.ask("holiday").get_json()
    said = {"rating": "down", "reason": "outdated", "comment": "It is 30 days now."}
    assert reader.post(f"/app/answers/{answer['id']}/feedback", json=said).status_code == 204
    (row,) = curator.get("/app/feedback").get_json()["data"]
    strange = curator.get("/app/collections?limit=1").get_json()["next"]  # a cursor, but of another listing
    assert curator.get(f"/app/feedback?cursor={strange}").status_code == 422
    assert {**said, "question": "holiday", "answer_id": answer["id"]}.items() <= row.items()
    assert 'id="feedback"' in curator.get("/admin/feedback").get_data(as_text=True)
    assert reader.get("/app/feedback").status_code == 403
    assert reader.get("/admin/feedback").status_code == 404


def test_where_curators_are_is_marked_in_their_menu(world: World) -> None:
    for role, marked in (("curator", "/faq"), ("admin", "/admin")):
        page = world.browser(role).get("/admin/unanswered").get_data(as_text=True)
        assert f'<a href="{marked}" aria-current="page">' in page.split("</header>", 1)[0], role


def test_open_pages_keep_the_menu_of_who_is_signed_in(world: World) -> None:
    for path in ("/api/docs", "/problems/"):
        assert 'href="/documents"' in world.browser("reader").get(path).get_data(as_text=True), path
        assert 'href="/documents"' not in world.browser("").get(path).get_data(as_text=True), path


def test_an_empty_knowledge_base_says_what_to_do_next(world: World) -> None:
    assert "What would you like to know?" in world.browser("reader").get("/").get_data(as_text=True)
    for document in world.kb.documents.list(SYSTEM)[0]:
        world.kb.documents.delete(SYSTEM, document.id)
    for entry in world.kb.faqs.list(SYSTEM)[0]:
        world.kb.faqs.delete(SYSTEM, entry.id)
    assert (
        'href="/documents">'
        in world.browser("editor").get("/").get_data(as_text=True).split('id="empty"', 1)[1]
    )
    told = world.browser("reader").get("/").get_data(as_text=True).split('id="empty"', 1)[1]
    assert "Ask an admin for access" in told and "Add documents" not in told


def test_places_of_words_in_a_text() -> None:
    text = "Grüße\n\nan alle. GRÜSSE  an\talle."
    assert find(text, "an  ALLE", 1) == Hits("an  ALLE", 1, 2, 7, 14)
    assert find(text, "an alle", 9).nth == 2 and find(text, "an alle", 9).start == 24
    assert find(text, "nobody", 1).count == 0 and find(text, " ", 1) == Hits()
    assert find("a.b", "a.b", 1).count == 1 and find("axb", "a.b", 1).count == 0


def test_of_millions_of_places_one_is_kept() -> None:
    text = "e" * 200_000
    tracemalloc.start()
    try:
        assert find(text, "e", 3) == Hits("e", 3, 200_000, 2, 3)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_one_row_of_thousands_of_cells_does_not_widen_all_others(world: World) -> None:
    wide, narrow = "x\t" * 5_000 + "end", "a\tb\n" * 10_000
    (table,) = laid([Piece(1, f"{wide}\n{narrow}", False, False, False)])
    assert [len(row) for row in table.rows[:2]] == [COLUMNS, 2] and table.width == COLUMNS
    assert sum(map(len, table.rows)) == COLUMNS + 20_000
    assert "\t".join("".join(piece.text for piece in cell) for cell in table.rows[0]) == wide

    id_ = publish(world.kb, "docs", "wide.csv", f"{wide}\n{narrow}")
    page = world.browser("admin").get(f"/documents/{id_}").get_data(as_text=True)
    assert page.count("<td") == COLUMNS + 3 * page.count("<span>a</span>")
    assert page.count(f'<td colspan="{COLUMNS - 2}"></td>') == page.count("<span>a</span>") > 5_000


def test_a_heading_that_begins_a_page_is_a_heading() -> None:
    pieces = cut(DocumentText("One.\n\n\f# Two\n\nSaid.", (0, 7), "Slides", 1), 0, None, None)
    assert [(p.page, p.text.strip(), p.heading) for p in pieces] == [
        (1, "One.", False),
        (2, "Two", True),
        (2, "Said.", False),
    ]


def test_a_file_that_claims_thousands_of_empty_pages_is_shown_at_once() -> None:
    text = "One." + "\f" * 40_000
    began = time.perf_counter()
    pieces = cut(DocumentText(text, (0, *range(5, 40_005)), "Scan", 1), 0, None, None)
    assert pieces[0].text == "One." and pieces[-1].page == 40_000
    assert time.perf_counter() - began < 2  # 6 s where the pages are gone through for each of them


def test_lines_with_tabs_are_laid_as_tables_and_no_character_is_lost() -> None:
    text = [
        ("Prices\n\nModel\tPr", False),
        ("ice\tSince\nBrio", True),
        (" 3\t£ 400\n\nOne\tline only.\n", False),
    ]
    blocks = laid([Piece(1, part, marked, False, False) for part, marked in text])
    (table,) = [block for block in blocks if block.rows]
    assert [[[(p.text, p.marked) for p in cell] for cell in row] for row in table.rows] == [
        [[("Model", False)], [("Pr", False), ("ice", True)], [("Since", True)]],
        [[("Brio", True), (" 3", False)], [("£ 400", False)]],
    ]
    assert table.width == 3
    assert ["".join(p.text for p in block.pieces) for block in blocks] == [
        "Prices\n\n",
        "",
        "\n",
        "One\tline only.\n",
    ]


def test_a_link_too_long_to_come_back_to_still_leads_to_signing_in(world: World) -> None:
    stranger = world.browser("")
    short, long = "/?q=%E5%B9%B4", "/?q=" + "%E5%B9%B4" * 600
    assert stranger.get(short).headers["Location"] == "/login?next=%2F%3Fq%3D%25E5%25B9%25B4"
    assert stranger.get(long).headers["Location"] == "/login"
