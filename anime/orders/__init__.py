"""From a request to a Prefect run, and back: taking on, ordering, cancelling, reconciling."""
