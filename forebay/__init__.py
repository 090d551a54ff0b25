"""The `forebay` command: everything embedded (`forebay up`), and the tools of an operator."""
