"""Used by the module beside it."""

GRAM = 1


def text(grams):
    return f"{grams} g"
