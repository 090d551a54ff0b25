"""INSERT data is cut off where ClickHouse cuts it, and an answer's format is found."""

import pytest

from forebay.embedded.clickhouse.sql import QueryFailed, Statement, naming_comments, read, with_body

INSERTS = [
    (b"INSERT INTO t (a) FORMAT Native\n\x00\n\n;", b"INSERT INTO t (a) ", "Native", b"\x00\n\n;"),
    (b"insert into t format CSV\r\n1\n\nDROP TABLE t", b"insert into t ", "CSV", b"1\n\nDROP TABLE t"),
    (b"insert into t format TSV  \t1", b"insert into t ", "TSV", b"1"),
    (b"insert into t format TSV\n\n1", b"insert into t ", "TSV", b"\n1"),
    (b"insert into t values (1), ('FORMAT x')", b"insert into t ", "Values", b"(1), ('FORMAT x')"),
    (b"/* a /* b */ FORMAT */ -- VALUES\ninsert into t values(1)", b"/* a /* b */ FORMAT */ -- VALUES\ninsert into t ", "Values", b"(1)"),
    (b'insert into t (`values`, "format", values) format TSV 1', b'insert into t (`values`, "format", values) ', "TSV", b"1"),
    (b"insert into `a\\`format` # VALUES\nformat TSV 1", b"insert into `a\\`format` # VALUES\n", "TSV", b"1"),
    (b"insert into function f('format', $$ values $$) format TSV 1", b"insert into function f('format', $$ values $$) ", "TSV", b"1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "sql", "data_format", "data"), INSERTS)
def test_insert_data_begins_after_the_format(text: bytes, sql: bytes, data_format: str, data: bytes) -> None:
    """Everything after it is data, also an empty line that is followed by more SQL."""
    found = read(text)
    assert (found.sql, found.data_format, bytes(found.data)) == (sql, data_format, data)


def test_settings_of_an_insert_are_kept_apart() -> None:
    """The file clause that the engine gets stands before them."""
    found = read(b"insert into t (settings) settings a = 'values' format TSV 1")
    assert (found.sql, found.settings) == (b"insert into t (settings) ", b"settings a = 'values' ")


@pytest.mark.parametrize(
    "text",
    [b"insert into t select 1", b"insert into t with 1 as x select x format Null", b"/**/ select 1", b"(select 1)"],
)
def test_a_statement_without_data_stays_whole(text: bytes) -> None:
    """A query's text reaches the engine unchanged."""
    assert read(text) == Statement(text, read(text).keyword, output_format=read(text).output_format)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (b"select 1 FORMAT JSON", "JSON"),
        (b"select 1 format JSON settings a = 1;", "JSON"),
        (b"select format from t", None),
        (b"select 'format JSON'", None),
        (b"select 1 -- format JSON", None),
        (b"select 1 format 'JSON'", None),
    ],
)
def test_the_format_a_query_names(text: bytes, name: str | None) -> None:
    """Only a FORMAT clause at the query's end counts."""
    assert read(text).output_format == name


@pytest.mark.parametrize(
    ("query", "body", "sql", "data"),
    [
        (b"", b"select 1", b"select 1", b""),
        (b"select 1", b"", b"select 1", b""),
        (b"select 1", b"+ 1", b"select 1\n+ 1", b""),
        (b"insert into t format Native", b"\n\n\x01", b"insert into t ", b"\n\n\x01"),
        (b"insert into t values (1),", b"(2)", b"insert into t ", b"(1),\n(2)"),
        (b"insert into t", b"format TSV\n1", b"insert into t\n", b"1"),
    ],
)
def test_url_and_body_are_one_statement(query: bytes, body: bytes, sql: bytes, data: bytes) -> None:
    """A query begun in the URL goes on in the body; a complete INSERT takes the body as its data."""
    found = with_body(query, body)
    assert (found.sql, bytes(found.data)) == (sql, data)


@pytest.mark.parametrize(
    "text", [b"insert into t", b"insert into t format", b"select /* 1", b"insert into t format 'CSV' 1", b"x" * 300_000]
)
def test_what_cannot_be_split_is_refused(text: bytes) -> None:
    """It is a syntax error, and no guess."""
    with pytest.raises(QueryFailed) as caught:
        read(text)
    assert caught.value.code == 62


def test_data_has_no_limit_of_the_sql() -> None:
    """Only the SQL is limited, as ClickHouse's max_query_size limits it."""
    assert len(read(b"insert into t format Native\n" + bytes(1_000_000)).data) == 1_000_000


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        (b"KILL QUERY WHERE query_id = 'a'", b"KILL QUERY WHERE (query_id = 'a' OR Settings['log_comment'] = 'a')"),
        (b"kill query where query_id='it''s \\'a\\'' sync;", b"kill query where (query_id = 'it''s \\'a\\'' OR Settings['log_comment'] = 'it''s \\'a\\'') sync;"),
        (b"KILL QUERY WHERE query_id = 'a' FORMAT JSON\n", b"KILL QUERY WHERE (query_id = 'a' OR Settings['log_comment'] = 'a') FORMAT JSON\n"),
        *((text, text) for text in (
            b"KILL QUERY WHERE query_id = 'a' OR user = 'b'", b"KILL QUERY WHERE user = 'b'", b"KILL MUTATION WHERE query_id = 'a'",
            b"SELECT 'KILL QUERY WHERE query_id = 1'", b"KILL QUERY WHERE query_id = {id:String}",
        )),
    ],
)  # fmt: skip
def test_a_query_is_killed_by_the_id_that_its_client_knows(text: bytes, sql: bytes) -> None:
    """Any other condition is the client's own, and stays as it is."""
    assert naming_comments(read(text)).sql == sql
