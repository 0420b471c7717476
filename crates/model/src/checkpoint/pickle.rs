//! A reader for the pickles of PyTorch.
