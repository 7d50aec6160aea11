"""The server of farm: listens, and executes tasks in one worker process a connection."""
