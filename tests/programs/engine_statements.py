"""Runs the statements that stdin lists as JSON on chDB's engine, and prints as JSON what it answered to each.

Word: the engine's data directory, with its options. What is refused is answered with `refused: ` and the reason.
"""

import json
import sys

import chdb

connection = chdb.connect(sys.argv[1])
said = []
for statement in json.load(sys.stdin):
    try:
        said.append(str(connection.query(statement, "TSV")))
    except Exception as error:  # whatever the engine raises is its answer
        said.append(f"refused: {error}")
print(json.dumps(said))
