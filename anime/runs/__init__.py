"""What a flow run does with a job: lease, heartbeat, preflight, render, outcome."""
