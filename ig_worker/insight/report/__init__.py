"""The page, and the scripts that it loads."""
