"""How fast the studio is, beside a bare client of the same ComfyUI. See README.md."""
