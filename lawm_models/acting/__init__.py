"""A trained policy in a user's own loop, and as a program for machines without this package."""
