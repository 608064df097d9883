"""The store as a whole: listed, checked, tidied up, exported and imported; `bench doctor`."""
