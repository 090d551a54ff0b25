"""Forms blocks of stream entries: columns, sessions and the bytes of an INSERT. No I/O and no await."""
