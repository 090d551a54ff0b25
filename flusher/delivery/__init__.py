"""One block into ClickHouse exactly once, and the questions that prove it."""
