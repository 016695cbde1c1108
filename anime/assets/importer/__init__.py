"""The sweep: what lies in ComfyUI's output folder comes into the library, each file once."""
