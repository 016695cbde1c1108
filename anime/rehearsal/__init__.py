"""The rehearsal server: it answers as ComfyUI does and draws placeholder frames.

Read it from the outside in: `server` starts it, `app` has the routes, `validation` checks a graph,
`prompt_queue` sorts the prompts, `prompt_worker` runs them one by one (`prompt_run`), `behaviours`
has what nodes do (`generic_node`: all others), and `painting` draws. `faults` simulates errors.

It answers as ComfyUI 0.33 or as 0.3.64: the profile in `config`. `nodes` has the classes of each,
read from `definitions`.
"""
