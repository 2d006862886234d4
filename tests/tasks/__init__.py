"""Tests of what is particular to a task."""
