"""Cognates: parallel counterparts of functions and expressions of the language."""

from __future__ import annotations

__all__: list[str] = []
