"""The workers: files in, chunks out. Stands on kb only; the web never imports it (a job row is the message)."""
