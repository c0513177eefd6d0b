"""Widths of pages in pixels: a desktop and a phone."""

WIDE, NARROW = 1280, 390
