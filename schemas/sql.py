"""The questions to ClickHouse that several packages ask, each written once.

They name no format, and take their values as ClickHouse's own parameters (`{name:Type}`), so each client sends them in
its own way. A question that one package alone asks stands where it is asked.
"""

# Rows of a shard's stream by minute of receipt and site, from `since` to before `upto` (unix ms). Minutes of which Redis
# counts some sites together (`ledger.folded`) are counted as a whole here too.
STORED_BY_MINUTE = """
SELECT toInt64(intDiv(toUnixTimestamp(received_at), 60)) AS minute,
  if(has({folded:Array(Int64)}, minute), '(other)', toString(site)) AS site, count() AS held
FROM forebay.events
WHERE received_at >= fromUnixTimestamp64Milli({since:Int64}) AND received_at < fromUnixTimestamp64Milli({upto:Int64})
  AND startsWith(block_id, {incarnation:String}) AND endsWith(block_id, {shard:String})
GROUP BY minute, site
"""
# The most seconds that a question may ask for, as text: 0 where there is no bound, and no row where there is no limit or
# this user may not change it.
LONGEST_SECONDS = """
SELECT ifNull(max, '0') FROM system.settings WHERE name = 'max_execution_time' AND value != '0' AND NOT readonly
"""


def literal(text: str) -> str:
    """Returns a text as a string literal of ClickHouse's SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
