"""Imported by nobody before a task asks for it."""

LEAVES = 12
