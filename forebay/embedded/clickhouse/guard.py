"""Refuses what the embedded engine's port must not do, and configures the engine so that it refuses it itself.

The port has no password, and any web page that the user visits can reach it; the engine runs as a local tool that may
read every file and connect anywhere. So these guards stand in a request's way, in this order:

1. Browsers: `refusal_of_browser`. A page can't leave out Origin or Sec-Fetch-Site, and a rebound name shows in Host.
2. GET changes nothing, and one request is one statement (engine.py, by the engine's own classification).
3. The engine's access control: one user whose grants hold no SOURCES (file, url, s3, remote, mysql, hdfs ...), no
   dictionaries (their sources are not checked: one ran a command), no users, functions, named collections, BACKUP,
   SYSTEM SHUTDOWN. It judges the parsed query, whatever its spelling, also inside views. The profile's constraints
   freeze the settings that name files, addresses or another SQL dialect.
4. `file(path)`, the scalar function, needs no grant: engine.py registers a function of that name over it.
5. What neither grants nor constraints cover (INTO OUTFILE, FROM INFILE, engines that open paths, disks defined in SQL):
   `forbidden`, on the text as the engine's parser prints it. No comment, case, quoting or escape of the original
   survives there, so words are words.

Not promised: secrecy or safety from other programs on this machine. They may read and drop every table, stop its
merges, kill its queries, and see its settings and paths. Nor that a later engine opens no new way out: the version is
pinned, and tests/servers/forebay/embedded/clickhouse/test_engine.py tries every table function and engine that this one
has.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from forebay.embedded.clickhouse.limits import Limits
from runtime.hosts import is_loopback

MIB = 1 << 20
# For every table that does not set them itself. This build deletes the sources of a merge at once, a server after 480 s,
# and neither fsyncs the part that replaces them, so a power cut may take rows that were stored long ago. With the fsync
# a deleted source is no longer needed; the 480 s are a server's, for what the fsync misses.
MERGE_TREE_SETTINGS = {
    "fsync_after_insert": 1,
    "fsync_part_directory": 1,
    "min_rows_to_fsync_after_merge": 1,
    "old_parts_lifetime": 480,
    # A part that a full disk broke is set aside at the next start, whatever its size; by default a table with more than
    # 1 GiB of these does not open. They are of no use, and are deleted after a week.
    "max_suspicious_broken_parts": 100_000,
    "max_suspicious_broken_parts_bytes": 1 << 60,
    "merge_tree_enable_clear_old_broken_detached": 1,
    "merge_tree_clear_old_broken_detached_parts_ttl_timeout_seconds": 7 * 86_400,
}
# Of the embedded engine alone, because an older server may not know it: about ten parts of one size are merged, and not five.
# At 500 events a second merges then take a tenth less of all that the engine uses (docs/decisions/0064-low-rates.md).
MERGES = {"merge_selector_base": 10}
# system.query_log keeps the last questions, two rows each. Each flush removes the oldest, and takes 5 ms of CPU, so there is one
# as seldom as a server has it.
QUERY_LOG_ROWS_MAX = 20_000
QUERY_LOG_BYTES_MAX = 16 * MIB
QUERY_LOG_FLUSH_MS = 7_500
# It is in memory, because the texts of questions may name persons, and storing them would cost an fsync each time.
QUERY_LOG = (
    "<query_log><database>system</database><table>query_log</table><engine>ENGINE = Memory SETTINGS"
    f" max_rows_to_keep = {QUERY_LOG_ROWS_MAX}, max_bytes_to_keep = {QUERY_LOG_BYTES_MAX}, compress = 1</engine>"
    f"<flush_interval_milliseconds>{QUERY_LOG_FLUSH_MS}</flush_interval_milliseconds>"
    f"<buffer_size_rows_flush_threshold>{QUERY_LOG_ROWS_MAX // 10}</buffer_size_rows_flush_threshold></query_log>"
)

# Table engines that keep their data below the data directory and open nothing else.
ENGINES = (
    *(
        f"{kind}MergeTree"
        for kind in ("", "Aggregating", "Coalescing", "Collapsing", "Graphite", "Replacing", "Summing")
    ),
    "VersionedCollapsingMergeTree",
    *("Atomic", "Buffer", "GenerateRandom", "Join", "Log", "MaterializedView", "Memory", "Merge", "Null", "Set"),
    *("StripeLog", "TinyLog", "View"),
)
# ALTER ... FETCH and the like need more than ALTER. Changes of the engine's own tables are revoked.
_GRANTS = (
    (
        "GRANT SHOW DATABASES, SHOW TABLES, SHOW COLUMNS, SELECT, INSERT, ALTER, CREATE DATABASE, CREATE TABLE, "
        "CREATE VIEW, CREATE TEMPORARY TABLE, DROP, UNDROP TABLE, TRUNCATE, OPTIMIZE, CHECK, KILL QUERY, dictGet, "
        "SYSTEM MERGES, SYSTEM TTL MERGES, SYSTEM VIEWS, SYSTEM DROP CACHE, SYSTEM FLUSH ON *.*"
    ),
    "REVOKE INSERT, ALTER, CREATE, DROP, TRUNCATE ON system.*",
    *(f"GRANT TABLE ENGINE ON {engine}" for engine in ENGINES),
)
# Each of these settings names a file to read or write, an address, another grammar, or a disk.
_FROZEN_SETTINGS = (
    "allow_experimental_eval_table_function",
    "allow_experimental_kusto_dialect",
    "allow_experimental_polyglot_dialect",
    "allow_experimental_prql_dialect",
    "default_temporary_table_engine",
    "dialect",
    "enable_json_ast_dialect",
    "enable_trino_dialect",
    "format_avro_schema_registry_url",
    "format_schema",
    "format_schema_message_name",
    "format_schema_source",
    "format_template_resultset",
    "format_template_resultset_format",
    "format_template_row",
    "format_template_row_format",
    "input_format_record_errors_file_path",
    "merge_tree_disk",
    "merge_tree_storage_policy",
    "output_format_schema",
    "polyglot_dialect",
)

# Keywords and function names that `forbidden` looks for; a statement without any of them needs no second parse.
_SUSPECTS = re.compile(rb"engine|disk|file|attach|input|sqlite|default|\\", re.IGNORECASE)
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`", re.DOTALL)
_ENGINE = re.compile(r"\bENGINE\s*=\s*(\w*)")
_FORBIDDEN = (
    (re.compile(r"\bINTO OUTFILE\b"), "INTO OUTFILE writes files"),
    (re.compile(r"\bFROM INFILE\b"), "FROM INFILE reads files"),
    (re.compile(r"\bdisk\("), "disks are not defined in SQL"),
    # It makes its file before any grant is checked.
    (re.compile(r"\bsqlite\(", re.IGNORECASE), "sqlite() opens files"),
    (re.compile(r"\bATTACH\b[^(]* FROM ''"), "ATTACH ... FROM takes files from a path"),
    # It would insert nothing and report no error.
    (re.compile(r"\binput\("), "INSERT ... SELECT FROM input() is not supported"),
    # Every connection begins in this database.
    (re.compile(r"^(DROP|DETACH|RENAME) DATABASE\b.*\bdefault\b"), "the database `default` stays"),
)


def refusal_of_browser(headers: Mapping[str, str]) -> str | None:
    """Returns in a sentence why a request that a web page may have caused is refused, or None for any other request."""
    for name in ("Origin", "Sec-Fetch-Site"):
        if name in headers:
            return f"The embedded ClickHouse does not answer web pages: the request has the header {name}."
    host = headers.get("Host", "")
    if not is_loopback(host):
        return (
            f"The embedded ClickHouse answers to localhost, 127.0.0.0/8 and [::1] only, not to the host {host[:80]!r}."
        )
    return None


def is_suspect(sql: bytes) -> bool:
    """Tells whether a statement has to be checked as the engine prints it. Keywords can't be spelled in another way."""
    return _SUSPECTS.search(sql) is not None


def forbidden(printed: str) -> str | None:
    """Returns why a statement, as the engine's formatQuerySingleLine prints it, is refused, or None if it is not."""
    printed = printed.replace("ENGINE = `Null`", "ENGINE = Null")  # a literal's name too, so the engine quotes it
    bare = _QUOTED.sub(lambda quoted: quoted.group()[0] * 2, printed)
    for pattern, reason in _FORBIDDEN:
        if pattern.search(bare):
            return reason
    for engine in _ENGINE.findall(bare):
        if engine not in ENGINES:
            return f"the embedded engine has no table engine {engine or 'of a quoted name'}"
    return None


def write_configuration(directory: Path, *, memory_bytes_max: int, free_bytes_min: int, limits: Limits) -> Path:
    """Writes the engine's configuration into the directory, replacing an older one; returns the main file.

    A file that already has this text is left alone, because on a full disk it can be read and not written.
    """
    main, users = directory / "config.xml", directory / "users.xml"
    nowhere = escape(str(directory / "nowhere"))
    tables = "".join(f"<{name}>{value}</{name}>" for name, value in (MERGE_TREE_SETTINGS | MERGES).items())
    _write(
        main,
        f"""<clickhouse>
 <users_config>{escape(str(users))}</users_config>
 <max_server_memory_usage>{memory_bytes_max}</max_server_memory_usage>
 <!-- The defaults are 5 GiB each. Marks of a year at 5 M events a day are 60 MB. -->
 <mark_cache_size>{128 * MIB}</mark_cache_size>
 <primary_index_cache_size>{64 * MIB}</primary_index_cache_size>
 <memory_worker_period_ms>250</memory_worker_period_ms>
 <merge_tree>{tables}</merge_tree>
 <!-- With less free, no INSERT, merge or mutation begins (error 243). -->
 <storage_configuration><disks><default><keep_free_space_bytes>{free_bytes_min}</keep_free_space_bytes></default></disks>
 </storage_configuration>
 <timezone>UTC</timezone>
 {QUERY_LOG}
 <!-- Directories that never exist: what SQL may name lies below them. -->
 <user_scripts_path>{nowhere}/scripts/</user_scripts_path>
 <custom_local_disks_base_directory>{nowhere}/disks/</custom_local_disks_base_directory>
</clickhouse>
""",
    )
    _write(users, _users(memory_bytes_max, limits))
    return main


def _write(path: Path, text: str) -> None:
    if path.exists() and path.read_text("utf-8") == text:
        return
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text, "utf-8")
    fresh.replace(path)


def _users(memory_bytes_max: int, limits: Limits) -> str:
    # Constraints hold for what a statement sets, and not for the values here, which the flusher has, the only client
    # that sets nothing.
    insert_bytes_max = memory_bytes_max * 3 // 4
    frozen = "".join(f"<{name}><const/></{name}>" for name in _FROZEN_SETTINGS)
    grants = "".join(f"<query>{grant}</query>\n" for grant in _GRANTS)
    return f"""<clickhouse>
 <profiles><default>
  <max_memory_usage>{insert_bytes_max}</max_memory_usage>
  <timeout_before_checking_execution_speed>0</timeout_before_checking_execution_speed>
  <implicit_select>0</implicit_select>
  <!-- What a client asks is logged: it is set for its statement alone, not for those by which we look at it. -->
  <log_queries>0</log_queries>
  <storage_file_read_method>pread</storage_file_read_method>
  <allow_introspection_functions>0</allow_introspection_functions>
  <constraints>
   <max_memory_usage><min>1</min><max>{limits.bytes}</max></max_memory_usage>
   <max_execution_time><min>1</min><max>{limits.seconds_max}</max></max_execution_time>
   {frozen}
  </constraints>
 </default></profiles>
 <users><default>
  <password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
  <grants>{grants}</grants>
 </default></users>
 <quotas><default></default></quotas>
</clickhouse>
"""
