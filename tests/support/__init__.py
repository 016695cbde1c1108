"""What several folders of tests, and the benchmarks, start and speak to."""
