"""An anime studio's image production on ComfyUI, run by Prefect."""
