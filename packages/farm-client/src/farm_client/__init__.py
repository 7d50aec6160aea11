"""The client of farm: kernels, channels, tasks and promises over farm servers."""
