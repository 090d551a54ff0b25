"""`forebay erase`: removes events on purpose, from everywhere they are (docs/decisions/0018-erasing.md)."""
