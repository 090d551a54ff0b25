"""The real servers that `forebay up` starts, so that nothing has to be installed beside it."""
