"""Reads all records of Airbyte's source for Plausible, as Airbyte does, and prints its messages: a JSON object in each line.

    airbyte_read.py CONFIG CATALOG

The package is the released one. Its form wants an `api_url` without a scheme, which nobody could ask (nor its own example),
so the configuration is not compared with the form; Airbyte's framework has a switch for that.
"""

import sys

from airbyte_cdk.entrypoint import launch  # type: ignore[import-not-found]  # it is in .venv/consumers alone
from source_plausible import SourcePlausible  # type: ignore[import-not-found]  # the same

if __name__ == "__main__":
    source = SourcePlausible()
    source.check_config_against_spec = False
    launch(source, ["read", "--config", sys.argv[1], "--catalog", sys.argv[2]])
