// Steps use every processor and share worker pools; tests that count allocations must not meet other tests in a lock.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
