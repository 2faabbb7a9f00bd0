"""Readers of files, counts with their labels, samples that are counted, and the counts that come with the package."""
