"""One module for each command: `add_options(parser)` and `command(options)`."""
