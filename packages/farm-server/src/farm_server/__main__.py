"""``python -m farm_server``: the command ``farm-server``."""

from .cli import main

if __name__ == "__main__":
    main()
