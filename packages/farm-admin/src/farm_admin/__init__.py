"""Looks after farm servers: ping, status, end."""
