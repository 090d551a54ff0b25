"""Judges a SELECT that somebody else wrote, by the tree that ClickHouse's own parser makes of it. What is not known to be harmless is refused.

    the text     no word that ends a statement or changes how it runs (SETTINGS, FORMAT, INTO), no second statement, no quoted names
    the tree     from `EXPLAIN AST`, which parses and runs nothing. Every node is of a kind that a SELECT has; every table is of the database
                 `forebay`; every function is in the list below. Table functions (url, file, s3, remote, executable, dictionary, numbers),
                 functions that read a table or a dictionary by its name (dictGet, joinGet), and those that tell of the server are in no list
    the run      as a user that only reads, with `readonly`, in the database `forebay`, as a subquery, within seconds and rows

The text is parsed alone and as the subquery that runs, so a bracket can't end the subquery early. Quoted names are refused because their
letters could look like nodes of the tree.

Not promised: that a harmless question is accepted. A function that is missing here is refused by its name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from dashboard.catalogue.contract import Refused

SQL_CHARACTERS_MAX = 10_000
WORDS = re.compile(r"\b(SETTINGS|FORMAT|INTO|OUTFILE|INFILE|PARALLEL)\b", re.IGNORECASE)
QUOTES = re.compile(r'["`;\x00]')
KINDS = frozenset(
    [
        "SelectWithUnionQuery",
        "SelectQuery",
        "SelectIntersectExceptQuery",
        "ExpressionList",
        "TablesInSelectQuery",
        "TablesInSelectQueryElement",
        "TableExpression",
        "TableJoin",
        "ArrayJoin",
        "Subquery",
        "WithElement",
        "Identifier",
        "TableIdentifier",
        "Function",
        "Literal",
        "Asterisk",
        "QualifiedAsterisk",
        "OrderByElement",
        "WindowDefinition",
        "WindowListElement",
        "ColumnsTransformerList",
        "ColumnsExceptTransformer",
        "FillModifier",
        "InterpolateElement",
    ]
)
TABLES = re.compile(r"(forebay\.)?[A-Za-z_]\w*")
VIEWS = re.compile(r"(forebay\.)?local_(days|hours|totals|visits|pages|revenue)")
_COMBINATORS = "(If|Array|Map|Distinct|OrNull|OrDefault|State|Merge|SimpleState|Resample|ForEach|ArgMin|ArgMax)*"
_AGGREGATES = (
    "count|sum|sumWithOverflow|sumKahan|avg|avgWeighted|min|max|any|anyLast|anyHeavy|argMin|argMax|median\\w*|quantiles?\\w*|uniq"
    "|uniqExact|uniqCombined|uniqCombined64|uniqHLL12|uniqTheta|groupArray|groupUniqArray|groupArrayInsertAt|groupArraySample"
    "|groupArrayMovingSum|groupArrayMovingAvg|groupArraySorted|groupBitAnd|groupBitOr|groupBitXor|groupConcat|sumMap|minMap|maxMap"
    "|sumMapFiltered|topK|topKWeighted|stddevPop|stddevSamp|varPop|varSamp|covarPop|covarSamp|corr|skewPop|skewSamp|kurtPop|kurtSamp"
    "|entropy|simpleLinearRegression|windowFunnel|retention|sequenceMatch|sequenceCount|sequenceNextNode|histogram|first_value"
    "|last_value|nth_value|rank|dense_rank|percent_rank|cume_dist|row_number|ntile|lag|lead|lagInFrame|leadInFrame|deltaSum"
    "|exponentialMovingAverage|intervalLengthSum|maxIntersections|boundingRatio|singleValueOrNull"
)
_FUNCTIONS = (
    "and|or|xor|not|equals|notEquals|less|greater|lessOrEquals|greaterOrEquals|isNull|isNotNull|isNotDistinctFrom|in|notIn|exists|if|multiIf"
    "|ifNull|nullIf|coalesce|assumeNotNull|caseWithExpression|transform|plus|minus|multiply|divide|intDiv|intDivOrZero|modulo"
    "|moduloOrZero|negate|abs|gcd|lcm|least|greatest|round\\w*|floor|ceil|ceiling|trunc|truncate|sqrt|cbrt|exp\\d*|log\\d*|pow|power"
    "|sin|cos|tan|asin|acos|atan|atan2|pi|e|sign|bit(And|Or|Xor|Not|ShiftLeft|ShiftRight|Test|Count)|isNaN|isInfinite|isFinite"
    "|ifNotFinite|divideDecimal|multiplyDecimal|tuple|tupleElement|untuple|array|arrayElement|lambda|map|CAST|accurateCast\\w*"
    "|_CAST|reinterpretAs\\w*|has|hasAll|hasAny|indexOf|empty|notEmpty|length|lengthUTF8|reverse|reverseUTF8|concat|concatWithSeparator"
    "|lower|upper|lowerUTF8|upperUTF8|substring\\w*|left|right|leftPad\\w*|rightPad\\w*|trim\\w*|repeat|position\\w*|locate|like"
    "|ilike|notLike|notILike|match|multiMatch\\w*|multiSearch\\w*|extract\\w*|replace\\w*|startsWith\\w*|endsWith\\w*|splitBy\\w+"
    "|tokens|countSubstrings\\w*|countMatches\\w*|format|base64Encode|base64Decode|hex|unhex|domain\\w*|protocol|path|pathFull"
    "|topLevelDomain\\w*|cutToFirstSignificantSubdomain|queryString|fragment|decodeURLComponent|encodeURLComponent|cutQueryString"
    "|cutFragment|cutWWW|firstSignificantSubdomain|now|now64|today|yesterday|date\\w*|age|add[A-Z]\\w*|subtract[A-Z]\\w*|timeSlots?"
    "|formatDateTime\\w*|parseDateTime\\w*|fromUnixTimestamp\\w*|makeDate\\w*|monthName|timezoneOf|timeZoneOffset|to[A-Z]\\w*"
    "|array[A-Z]\\w*|map[A-Z]\\w*|range|emptyArray\\w+|cityHash64|sipHash64|xxHash64|xxHash3|halfMD5|bar|formatReadable\\w+"
    "|finalizeAggregation|runningDifference|neighbor|JSON\\w*|simpleJSON\\w*|isValidUTF8|toValidUTF8|grouping|levenshteinDistance"
    "|editDistance|ngramDistance\\w*|materialize|identity|dateDiff|timeDiff|IPv[46]\\w*|isIPv[46]String|arrayJoin|bitmap[A-Z]\\w*"
)
FUNCTIONS = re.compile(f"({_FUNCTIONS}|({_AGGREGATES}){_COMBINATORS})")
_NODE = re.compile(r"( *)(\w+) *(.*)")
_TAIL = re.compile(r"( \(alias .*\))?( \(children \d+\))?$")


class Node(NamedTuple):
    """Is a node of the tree: how deep it is, its kind, and its name, which is empty for most kinds."""

    depth: int
    kind: str
    name: str


def check_text(sql: str) -> None:
    """Raises Refused for a text that is no single SELECT, or has words that change how it would run."""
    if len(sql) > SQL_CHARACTERS_MAX:
        raise Refused(f"A query has at most {SQL_CHARACTERS_MAX:,} characters.")
    if found := WORDS.search(sql):
        raise Refused(f"A query has no {found[1].upper()}, in no place: the answer has its own form and limits.")
    if QUOTES.search(sql):
        raise Refused("A query is one SELECT without ';', and writes names without quotes.")


def check_tree(lines: Sequence[str]) -> None:
    """Raises Refused for a tree of EXPLAIN AST that may do more than read tables of Forebay."""
    nodes = [_read(line) for line in lines if line.strip()]
    if not nodes or nodes[0].kind != "SelectWithUnionQuery":
        raise Refused("A query is one SELECT.")
    parents: list[Node] = []
    for at, node in enumerate(nodes):
        del parents[node.depth :]
        if node.depth != len(parents):
            raise Refused("This query can't be judged.")
        _check(node, parents)
        if node.kind == "Identifier" and _is_right_of_in(nodes, at):
            raise Refused("After IN stands a list or a SELECT, and no name.")
        parents.append(node)


def _read(line: str) -> Node:
    found = _NODE.fullmatch(line)
    if found is None:
        raise Refused("This query can't be judged.")
    return Node(len(found[1]), found[2], _TAIL.sub("", found[3]))


def _check(node: Node, parents: Sequence[Node]) -> None:
    if node.kind not in KINDS:
        raise Refused("A query only selects: " + ("no settings." if node.kind == "Set" else f"no {node.kind}."))
    if node.kind == "TableIdentifier" and not TABLES.fullmatch(node.name):
        raise Refused(f"Only tables of the database forebay are read, not {node.name[:100]}.")
    if node.kind == "Function":
        is_table = bool(parents) and parents[-1].kind == "TableExpression"
        if is_table and not VIEWS.fullmatch(node.name):
            raise Refused(f"{node.name[:100]}() is no table of Forebay, and table functions are not run.")
        if not is_table and not FUNCTIONS.fullmatch(node.name):
            raise Refused(f"The function {node.name[:100]}() is not among those that may be used here.")


def _is_right_of_in(nodes: Sequence[Node], at: int) -> bool:
    """Tells whether a node is the second argument of IN, where a name is a table."""
    depth = nodes[at].depth
    before = _ahead(nodes, at, depth - 2)
    is_in = bool(before) and before[0].kind == "Function" and before[0].name in ("in", "notIn")
    return is_in and sum(node.depth == depth for node in before[1:]) == 1


def _ahead(nodes: Sequence[Node], at: int, depth: int) -> list[Node]:
    """Returns the nodes from the nearest one of this depth up to a node."""
    begin = at
    while begin >= 0 and nodes[begin].depth > depth:
        begin -= 1
    return list(nodes[begin:at]) if begin >= 0 and nodes[begin].depth == depth else []
