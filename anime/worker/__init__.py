"""The warm worker: flow runs inside one long-lived process, a thread each."""
