"""What is old goes: thumbnails, quarantine and rejected takes. Nothing does unless it is set."""
