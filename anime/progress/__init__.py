"""Progress of jobs: published on Redis, and sent on to everybody who watches."""
