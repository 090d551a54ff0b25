"""Looks at the deployment under test from outside: what it stored, used and suffered."""
