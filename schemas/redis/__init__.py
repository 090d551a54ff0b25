"""What the packages agree on about Redis: its keys and fields, its records, and the scripts that change them."""
