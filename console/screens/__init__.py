"""One Textual screen for each picture of the console. `box` is what all share; `tables` what all tables share."""
