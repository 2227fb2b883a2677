"""Textual widgets that send a `Canvas` to the terminal: `Paint` for a picture, `Grid` for a table."""
