"""``python -m farm_admin``: the command ``farm-admin``."""

from .cli import main

if __name__ == "__main__":
    main()
