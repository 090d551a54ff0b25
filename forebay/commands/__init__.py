"""The commands, a module for each, with `add_options(parser)` and `command(options)`."""
