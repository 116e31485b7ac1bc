"""The work on one chunk, without Ray: rows in, tables out."""
