"""Which modules are sent by value, though the other side might find what is in them by its name."""

from __future__ import annotations

__all__ = ["goes_by_value", "is_used", "ship_by_value"]

# Modules whose functions and classes travel by value, by their first names.
_by_value: set[str] = set()


def ship_by_value(module: str) -> None:
    """Send what a module and its submodules define by value, though it could go by name.

    Args:
        module: The module's full name. The servers need not have it then; and what it defines is
            sent as it is here. Of the module itself, what functions name of it is sent with them.
    """
    _by_value.add(module)


def goes_by_value(module: str) -> bool:
    """Whether `ship_by_value` was called for a module, or for a package that it is in."""
    if not _by_value:
        return False
    return any(module == name or module.startswith(f"{name}.") for name in _by_value)


def is_used() -> bool:
    """Whether `ship_by_value` was called at all."""
    return bool(_by_value)
