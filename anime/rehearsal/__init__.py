"""A stand-in for ComfyUI that speaks its protocol and draws placeholder frames.

Read it from the outside in: `server` starts it, `app` has the routes, `validation` judges a
graph, `prompt_queue` orders prompts, `worker` runs them one by one (`prompt_run`), `behaviours`
is what each node does, and `painter` draws. `faults` is where it is told to misbehave.
"""
