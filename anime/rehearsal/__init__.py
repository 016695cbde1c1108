"""The rehearsal server: it answers as ComfyUI does and draws placeholder frames.

Read it from the outside in: `server` starts it, `app` has the routes, `validation` checks a graph,
`prompt_queue` sorts the prompts, `prompt_worker` runs them one by one (`prompt_run`), `behaviours`
has what each node does, and `painting` draws. `faults` simulates errors.
"""
