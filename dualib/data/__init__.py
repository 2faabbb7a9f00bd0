"""Readers of files, and the counts that come with the package."""
