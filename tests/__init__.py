"""Tests; a module per room of the product."""
