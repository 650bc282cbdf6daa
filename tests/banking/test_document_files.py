"""Folders of documents as people keep them."""

from datetime import date
from pathlib import Path

import pytest

from teller.banking.document_files import in_force, json_document, knowledge_files, markdown_document, text_of
from teller.banking.documents import Document
from teller.errors import KnowledgeError

TODAY = date(2026, 11, 23)


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "a", "title": "Fees", "content": "None."},
        {"slug": "a", "name": "Fees", "body": "None."},
        {"_id": "a", "heading": "Fees", "text": ["None."]},
        {"key": "a", "question": "Fees", "answer": "None."},
        {"page_content": "None.", "metadata": {"id": "a", "title": "Fees"}},
        {"id": "a", "title": None, "markdown": "# Fees\n\nNone."},
    ],
)
def test_fields_go_by_the_names_that_exports_give_them(fields):
    document = json_document(fields, "a.jsonl:1", TODAY)

    assert document is not None
    assert (document.id, document.title) == ("a", "Fees")
    assert document.markdown.endswith("None.")


def test_a_line_without_an_id_is_named_after_its_place():
    document = json_document({"question": "Is it free?", "answer": "Yes."}, "my faq.jsonl:2", TODAY)

    assert document == Document("my-faq.jsonl:2", "Is it free?", "Yes.")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"id": "a", "title": "t", "foo": "x"}, r"a:1: 'content' is missing or empty; the fields are id, title, foo"),
        ({"id": "a", "title": "t", "content": {"x": 1}}, r"a:1: 'content' is missing or empty"),
        ({"id": "a", "title": "t", "content": "x \ud83d"}, r"a:1: 'content' has half a character"),
        ({"id": "a b", "content": "x"}, r"a:1: an id has no spaces"),
    ],
)
def test_a_line_that_cannot_be_used_says_why(fields, said):
    with pytest.raises(KnowledgeError, match=said):
        json_document(fields, "a:1", TODAY)


@pytest.mark.parametrize(
    "fields",
    [
        "title: 'Internal: codes'",
        "title: Codes\naudience: Staff",
        "title: Codes\ninternal: true",
        "title: Codes\nstatus: superseded",
        "title: Codes\ndraft: yes",
        "title: Codes\nvalid_until: 2025-12-31",
        "title: Codes\nvalid_from: 1 January 2027",
    ],
)
def test_what_is_not_for_callers_or_not_in_force_is_no_document(fields):
    assert markdown_document(f"---\n{fields}\n---\nThe code is 7719.\n", "codes.md", TODAY) is None


def test_an_internal_heading_counts_under_any_title():
    assert markdown_document("---\ntitle: Codes\n---\n# Internal: codes\n\n7719.\n", "codes.md", TODAY) is None


def test_a_document_in_force_is_one():
    fields = "title: Codes\naudience: public\nstatus: published\nvalid_from: 2026-01-01\nvalid_until: 2026-12-31"

    document = markdown_document(f"---\n{fields}\n---\nx\n", "deep/codes.md", TODAY)

    assert document is not None
    assert (document.id, document.title) == ("deep/codes", "Codes")


def test_a_file_is_called_by_its_name_where_it_does_not_say_what_it_is_about():
    document = markdown_document("## Summary\n\nx\n\n## Rate\n\ny\n", "savings/easy-saver_plus.md", TODAY)

    assert document is not None
    assert document.title == "easy saver plus"


@pytest.mark.parametrize(
    ("titles", "stay"),
    [
        (["Fees (2023)", "Fees (2026)"], ["Fees (2026)"]),
        (["Fees (until 31 December 2025)", "Fees (from 1 January 2026)"], ["Fees (from 1 January 2026)"]),
        (["Fees from March 2026", "Fees from January 2027"], ["Fees from March 2026"]),
        (["Fees", "Fees (2026)"], ["Fees", "Fees (2026)"]),
        (["Fees 2025", "Rates 2026"], ["Fees 2025", "Rates 2026"]),
        (["Notice 60", "Notice 120"], ["Notice 60", "Notice 120"]),
    ],
)
def test_of_versions_with_dates_the_latest_that_has_begun_stays(titles, stay):
    documents = [Document(f"d{number}", title, "x") for number, title in enumerate(titles)]

    assert [document.title for document in in_force(documents, TODAY)] == stay


def test_versions_of_one_title_have_their_dates_in_the_id():
    documents = [Document(name, "Branch hours", "x") for name in ("hours-2025", "hours-2026", "cards-2025")]

    assert [document.id for document in in_force(documents, TODAY)] == ["hours-2026", "cards-2025"]


def test_hidden_files_are_left_out_and_links_that_go_in_circles_followed_once(tmp_path):
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "lost.MD").write_text("x")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "a.md").write_text("x")
    (tmp_path / "._lost.md").write_bytes(b"\0")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "pin.md").write_text("x")
    (elsewhere / "folder").mkdir()
    (elsewhere / "folder" / "back").symlink_to(elsewhere)
    (tmp_path / "more").symlink_to(tmp_path / "cards")
    (tmp_path / "self.md").symlink_to("self.md")
    (tmp_path / "broken.md").symlink_to("nowhere.md")

    files = knowledge_files(tmp_path)

    assert sorted(Path(name).name for name, _ in files) == ["lost.MD", "pin.md"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (b"# Fine\n\nIt costs \xa35.\n", r"a\.md:3: not UTF-8 text; save the file as UTF-8"),
        ("# Fees\n".encode("utf-16"), r"a\.md:1: UTF-16, not UTF-8 text"),
        (b"\x89PNG\r\n\x1a\n\0\0", r"a\.md: not text; a \.md file was expected"),
    ],
)
def test_a_file_that_is_no_utf8_text_says_so(tmp_path, written, said):
    (tmp_path / "a.md").write_bytes(written)

    with pytest.raises(KnowledgeError, match=said):
        text_of(tmp_path / "a.md", "a.md")


def test_a_byte_order_mark_and_other_systems_line_ends_are_no_part_of_the_text(tmp_path):
    (tmp_path / "a.md").write_bytes(b"\xef\xbb\xbf# Fees\r\n\r\nNone.\rAt all.\n")

    assert text_of(tmp_path / "a.md", "a.md") == "# Fees\n\nNone.\nAt all.\n"
