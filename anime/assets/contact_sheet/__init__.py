"""Contact sheets as files: lettering, pages, PNG and PDF."""
