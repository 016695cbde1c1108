"""A job from its request to its end: submitted, dispatched, monitored, cancelled."""
