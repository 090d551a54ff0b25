"""Stores the visits of days that are over as rows, in copies that count only while they are true."""
