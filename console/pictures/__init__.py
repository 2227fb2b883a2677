"""Pictures: pure functions from an answer and a size to a `Canvas`. No clock, no disk, no terminal.

`parts` holds what all share; `frame` what surrounds every screen; `table` the columns; the others are one screen each.
A picture never raises on an answer of the right type, whatever the size; `parts.panel` confines a wrong one.
"""
