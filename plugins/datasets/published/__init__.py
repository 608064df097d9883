"""The data sets of the paper, read from the files in which their authors publish them."""
