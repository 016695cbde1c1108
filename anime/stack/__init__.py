"""What `anime up` starts and stops: the parts of the stack, and what keeps them running."""
